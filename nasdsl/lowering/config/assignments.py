"""Assignments of a block: whole slots, arguments of inherited components, parameters of the space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.config import Component
from nasdsl.ir.schema import SLOTS
from nasdsl.lowering.blocks import Block, Piece
from nasdsl.lowering.config import components
from nasdsl.lowering.config.context import Context, Scope
from nasdsl.lowering.config.slots import slot
from nasdsl.lowering.scope import Broken
from nasdsl.source import Span
from nasdsl.syntax import ast
from nasdsl.syntax.reserved import RESERVED


def assign(
    ctx: Context,
    block: Block,
    scope_block: Block,
    slots: Mapping[str, str],
    values: dict[str, Any],
    network: dict[str, Any],
    pieces: list[Piece] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    found = pieces if pieces is not None else block.all("attr")
    # A whole slot comes before changes to its arguments.
    for piece in sorted(found, key=lambda p: len(p.key)):
        if not isinstance(piece.node, ast.Attr):
            continue
        scope = Scope(piece.origin.module, scope_block, dict(extra or {}))
        try:
            _attr(ctx, piece, piece.node, block.kind, slots, values, network, scope)
        except Broken:
            continue


def _attr(
    ctx: Context,
    piece: Piece,
    node: ast.Attr,
    kind: str,
    slots: Mapping[str, str],
    values: dict[str, Any],
    network: dict[str, Any],
    scope: Scope,
) -> None:
    path = node.target.parts
    name = ".".join(path)
    if kind == "recipe" and path[0] == "network" and len(path) == 2:
        value = ctx.value(node.value, scope)
        if ctx.network is not None and path[1] not in ctx.network:
            end = node.target.span.end
            raise ctx.fail(
                "E331",
                Span(node.target.span.source, end - len(path[1]), end),
                f"space `{ctx.space}` has no parameter `{path[1]}`, which {_where(piece)} sets",
                f"recipe {ctx.recipe or piece.origin.name} needs a space with `{path[1]}`",
            )
        network[path[1]] = value
        return
    if name in slots:
        values[name] = slot(ctx, name, slots[name], node.value, scope)
        return
    if len(path) == 2 and path[0] in slots and slots[path[0]].startswith("component"):
        _change(ctx, path, node, values, scope, slots[path[0]])
        return
    if path[0] in RESERVED or scope.block.orphan:
        raise Broken
    legal = [s for s in slots if "." not in s or kind == "split"]
    if kind == "recipe":
        legal.append("network")
    raise ctx.fail(
        "E302",
        node.target.span,
        f"a {kind} has no `{name}`",
        did_you_mean(path[0] if kind != "split" else name, legal, limit=30),
    )


def _where(piece: Piece) -> str:
    if piece.key[0] == "phase-attr":
        return f"phase `{piece.key[1]}`"
    return f"recipe `{piece.origin.name}`"


def _change(
    ctx: Context,
    path: tuple[str, ...],
    node: ast.Attr,
    values: dict[str, Any],
    scope: Scope,
    type_: str,
) -> None:
    """`slot.arg = v`: one argument of the inherited component."""
    slot, arg = path
    component = values.get(slot)
    if not isinstance(component, Component):
        state = "is `none`" if slot in values else "is not set"
        raise ctx.fail(
            "E307",
            node.target.span,
            f"`{slot}` {state}, so `{slot}.{arg}` changes nothing",
            f"write `{slot} = …` first",
        )
    spec = SLOTS[type_.partition(":")[2]].get(component.name)
    if component.extension is not None:
        spec = component.extension.spec
    param = next((p for p in spec.params if p.name == arg), None) if spec else None
    if spec is None or param is None:
        names = [p.name for p in spec.params] if spec else []
        raise ctx.fail(
            "E303",
            node.target.span,
            f"`{component.name}` has no argument `{arg}`",
            did_you_mean(arg, names),
        )
    value = ctx.value(node.value, scope)
    checked = components.check(ctx, param, value, node.value, component.name, scope)
    values[slot] = component.with_arg(arg, checked)
