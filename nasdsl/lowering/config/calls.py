"""Calls in a block: components, shapes, orders, blocks with changes, grids of them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.config import Component, Ref
from nasdsl.ir.schema import BLOCKS, FORMS
from nasdsl.ir.shape import Shape
from nasdsl.lowering.config import orders, schedules
from nasdsl.lowering.config.context import BLOCK_KINDS, Context, Scope
from nasdsl.lowering.modules import Def, Module
from nasdsl.lowering.scope import Broken
from nasdsl.lowering.value.shapes import named_dims
from nasdsl.syntax import ast

_SHAPES = {"image": 3, "series": 2, "volume": 4, "features": 1, "tokens": 1}
#: How many combinations a grid may have.
MAX_GRID = 10_000


def call(ctx: Context, node: ast.Call, scope: Scope) -> Any:
    if not isinstance(node.func, ast.Name):
        raise ctx.fail("E213", node.span, "this cannot be called")
    name = node.func.text
    if name in FORMS:
        return schedules.schedule(ctx, name, node, scope)
    if name == "steps":
        return schedules.steps(ctx, node, scope)
    if name == "exp" and len(node.args) == 1:
        power = ctx.number(node.args[0].value, scope)
        if abs(power) > 700:
            raise ctx.fail("E028", node.span, "`exp` of this is out of range", "|x| is at most 700")
        return Fraction(math.exp(power))
    if name in _SHAPES or name == "pieces":
        return _shape(ctx, name, node, scope)
    if name in orders.ORDERS and scope.block.kind == "split":
        return orders.order(ctx, name, node, scope)
    if name == "grid":
        return _grid(ctx, node, scope)
    target = None if name in ctx.legal else _callee(node.func, scope)
    if target is not None:
        return _block_call(ctx, node, target, scope)
    args: list[tuple[str, Any]] = []
    for i, arg in enumerate(node.args):
        if arg.to is not None:
            raise ctx.fail(
                "E308",
                arg.span,
                f"`a -> b` belongs in a schedule, not in `{name}`",
                "`linear(a -> b)`",
            )
        args.append((arg.name or str(i), ctx.value(arg.value, scope)))
    return Component(name, tuple(args), node.span)


def _callee(func: ast.Name, scope: Scope) -> Def | None:
    place: Module | None = scope.module
    for part in func.parts[:-1]:
        place = place.files.get(part) if place is not None else None
    found = place.names.get(func.parts[-1]) if place is not None else None
    return found if found is not None and found.kind in BLOCK_KINDS else None


def _block_call(ctx: Context, node: ast.Call, target: Def, scope: Scope) -> Ref:
    block = ctx.flat.block(target)
    if block is None:
        raise Broken
    legal = list(block.params)
    if target.kind in ("recipe", "train", "suite"):
        legal += list(BLOCKS[target.kind])
    changes: list[tuple[str, Any]] = []
    for arg in node.args:
        if arg.name is None:
            raise ctx.fail("E112", arg.span, f"`{target.name}` is called with names: `C = 18`")
        if arg.name not in legal:
            raise ctx.fail(
                "E103",
                arg.span,
                f"{target.kind} `{target.name}` has no parameter `{arg.name}`",
                did_you_mean(arg.name, legal),
            )
        changes.append((arg.name, ctx.value(arg.value, scope)))
    func = node.func
    return Ref(
        target.kind, func.text if isinstance(func, ast.Name) else target.name, tuple(changes)
    )


def _grid(ctx: Context, node: ast.Call, scope: Scope) -> tuple[Any, ...]:
    if not node.args or node.args[0].name is not None:
        raise ctx.fail("E112", node.span, "`grid` begins with a block: `grid(train, lr = […])`")
    base = ctx.value(node.args[0].value, scope)
    if not isinstance(base, Ref):
        raise ctx.fail("E406", node.args[0].span, "`grid` begins with a block")
    if isinstance(node.args[0].value, ast.Name):
        target = _callee(node.args[0].value, scope)
        if target is not None:
            call = ast.Call(span=node.span, func=node.args[0].value, args=node.args[1:])
            _block_call(ctx, call, target, scope)
    found = [base]
    for arg in node.args[1:]:
        values = ctx.value(arg.value, scope)
        if not isinstance(values, tuple):
            raise ctx.fail("E304", arg.value.span, f"`{arg.name}` is a list in a grid")
        if len(found) * len(values) > MAX_GRID:
            raise ctx.fail("E116", node.span, f"a grid has at most {MAX_GRID} combinations")
        found = [
            Ref(f.kind, f.name, (*f.changes, (arg.name or "", v))) for f in found for v in values
        ]
    return tuple(found)


def _shape(ctx: Context, name: str, node: ast.Call, scope: Scope) -> Shape:
    if name == "pieces":
        if len(node.args) == 2:
            count = ctx.number(node.args[0].value, scope)
            inner = ctx.value(node.args[1].value, scope)
            if isinstance(inner, Shape) and inner.kind == "image" and 0 < count <= 1000:
                return Shape("pieces", (int(count), *inner.dims))
        raise ctx.fail("E112", node.span, "`pieces` takes a count and an image")
    args = named_dims(name, node)
    numbers = [ctx.number(a.value, scope) for a in args or ()]
    if (
        args is None
        or len(numbers) != _SHAPES[name]
        or any(n <= 0 or n.denominator != 1 for n in numbers)
    ):
        raise ctx.fail("E112", node.span, f"`{name}` takes {_SHAPES[name]} positive whole numbers")
    return Shape(name, tuple(int(n) for n in numbers))
