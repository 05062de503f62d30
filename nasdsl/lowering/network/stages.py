"""Stages of a body: cells that look back to earlier outputs, and plain operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nasdsl.diagnostics.model import Label
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.lowering.blocks import Piece
from nasdsl.lowering.cell import definition as cells
from nasdsl.lowering.modules import Def
from nasdsl.lowering.network.instances import shared
from nasdsl.lowering.network.walk import Walk, push
from nasdsl.lowering.operation.application import apply
from nasdsl.lowering.operation.fitting import expected
from nasdsl.lowering.scope import Broken, Context, Env, Place, resolve
from nasdsl.lowering.value.evaluation import argument, integer
from nasdsl.source import Span
from nasdsl.syntax import ast


def stage(walk: Walk, node: ast.Stage, path: str, env: Env) -> None:
    """A stage of a body: a cell, or an operation on the output before. Raises Broken."""
    ctx = walk.ctx
    inp = walk.shape(walk.last)
    place = Place(1, walk.width, inp.channels, path, path, path)
    override = _attrs(walk, node, env, place)
    fresh = isinstance(node.value, ast.Unary) and node.value.op == "fresh"
    named = node.value.operand if isinstance(node.value, ast.Unary) and fresh else node.value
    args = named.args if isinstance(named, ast.Call) else ()
    named = named.func if isinstance(named, ast.Call) else named
    if isinstance(named, ast.Name):
        found = resolve(ctx, named.text, env)
        if isinstance(found, Def | Piece) and isinstance(found.node, ast.Cell):
            written = {a.target.text: a.span for a in node.attrs}
            given = _given(ctx, named, args, env, place)
            _cell_stage(walk, named, env, path, override, fresh, node.span, written, given)
            return
    walk.width = override.get("width", walk.width)
    place = replace(place, stride=override.get("stride", 1), width=walk.width)
    op = apply(ctx, node.value, env, place, inp)
    if place.stride > 1 and op.out.space == inp.space and any(n > 1 for n in inp.space):
        stride_at = next((a.span for a in node.attrs if a.target.text == "stride"), node.span)
        ctx.diags.add(
            "E207",
            node.value.span,
            f"the stage yields {op.out}, its `stride = {place.stride}` expects "
            f"{expected(place, inp).space}",
            help="an op passes it on with `stride = stride`",
            labels=(Label(stride_at, "the stride"),),
        )
        raise Broken
    name = _stage_name(walk, node.value)
    push(walk, name, "body", op, (walk.last,), op.out, node.span)


def _given(
    ctx: Context, named: ast.Name, args: tuple[ast.Arg, ...], env: Env, place: Place
) -> dict[str, Any]:
    """The arguments of a cell by parameter."""
    names = cells.parameters(ctx, named.text, env)
    found: dict[str, Any] = {}
    for i, arg in enumerate(args):
        name = arg.name or (names[i] if i < len(names) else "")
        if name not in names or name in found:
            raise ctx.fail(
                "E112",
                arg.span,
                f"cell `{named.text}` has no parameter `{arg.name or i + 1}`"
                if name not in names
                else f"`{name}` is given twice",
                did_you_mean(name, names) or (None if names else "it takes no arguments"),
            )
        found[name] = argument(ctx, arg.value, env, place, name)
    return found


def _stage_name(walk: Walk, node: ast.Value) -> str:
    base = "stage"
    func = node.func if isinstance(node, ast.Call) else node
    if isinstance(func, ast.Name):
        base = func.parts[-1]
    name = f"{base}_{walk.counter}"
    walk.counter += 1
    return name


def _attrs(walk: Walk, node: ast.Stage, env: Env, place: Place) -> dict[str, int]:
    found: dict[str, int] = {}
    for attr in node.attrs:
        name = attr.target.text
        if name not in ("stride", "width"):
            raise walk.ctx.fail(
                "E103",
                attr.target.span,
                f"a stage has no attribute `{name}`",
                did_you_mean(name, ("stride", "width")) or "it has stride, width",
            )
        found[name] = integer(walk.ctx, attr.value, env, place, name)
        if found[name] < 1:
            raise walk.ctx.fail("E208", attr.value.span, f"`{name}` must be positive")
    return found


def _cell_stage(
    walk: Walk,
    named: ast.Name,
    env: Env,
    path: str,
    override: dict[str, int],
    fresh: bool,
    span: Span,
    written: Mapping[str, Span],
    given: Mapping[str, Any],
) -> None:
    ctx = walk.ctx
    definition = cells.find(ctx, named.text, env, named.span, given)
    count = max(1, cells.input_count(definition))
    # Input i of k is the output of the (k-i+1)-th stage before; before the first, the oldest.
    oldest = walk.history[0] if walk.history else -1
    back = [walk.history[-k] if k <= len(walk.history) else oldest for k in range(count, 0, -1)]
    table = f"{named.text}@{path}" if fresh else named.text
    shapes = tuple(walk.shape(i) for i in back)
    cell = shared(
        ctx, definition, shapes, walk.width, 1, table, path, override, written.get("stride")
    )
    walk.width = cell.width
    name = f"{named.text}_{walk.counter}"
    walk.counter += 1
    push(walk, name, "body", cell, tuple(back), cell.out, span)
