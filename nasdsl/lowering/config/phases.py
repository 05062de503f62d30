"""Phases of a recipe: what they extend, and what they set themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasdsl.diagnostics.model import Label
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.config import Settings
from nasdsl.lowering.blocks import Block, Piece
from nasdsl.lowering.config import assignments
from nasdsl.lowering.config.context import Context
from nasdsl.syntax import ast


def phase(ctx: Context, block: Block, piece: Piece, slots: Mapping[str, str]) -> Settings:
    """A phase's own slots over what it extends; the recipe's slots are seen behind them."""
    pieces = statements(ctx, block, piece, set())
    values: dict[str, Any] = {}
    network: dict[str, Any] = {}
    inherited: dict[str, Any] = {}
    quiet = ctx.quiet()
    assignments.assign(quiet, block, block, slots, inherited, {})
    values.update(inherited)
    made = [
        Piece(("phase-attr", piece.key[1], *p.target.parts), p, p.span, origin)
        for p, origin in pieces
    ]
    assignments.assign(ctx, block, block, {**slots}, values, network, made)
    own = {p.target.parts[0] for p, _ in pieces}
    return Settings(
        kind="recipe",
        name=piece.key[1],
        values=tuple((k, v) for k, v in values.items() if k in own or k.split(".")[0] in own),
        network=tuple(network.items()),
    )


def statements(
    ctx: Context, block: Block, piece: Piece, active: set[str]
) -> list[tuple[ast.Attr, Block]]:
    """Assignments of a phase with those it extends, later ones over earlier, and their blocks.

    `active` are the phases that are being extended just now.
    """
    node = piece.node
    if not isinstance(node, ast.Phase):
        return []
    name = node.name.text
    found: dict[tuple[str, ...], tuple[ast.Attr, Block]] = {}
    if piece.previous is not None:
        for attr, origin in statements(ctx, block, piece.previous, active):
            found[attr.target.parts] = (attr, origin)
    for parent in node.parents:
        above = block.get("phase", parent.text)
        if above is None or parent.text in active | {name}:
            ctx.diags.add(
                "E101",
                parent.span,
                f"unknown phase `{parent.text}`",
                help=did_you_mean(parent.text, [p.key[1] for p in block.all("phase")]),
            )
            continue
        for attr, origin in statements(ctx, block, above, active | {name}):
            found[attr.target.parts] = (attr, origin)
    mine: dict[tuple[str, ...], ast.Attr] = {}
    for statement in node.body:
        if not isinstance(statement, ast.Attr):
            continue
        parts = statement.target.parts
        if parts in mine:
            first = mine[parts]
            ctx.diags.add(
                "E102",
                statement.target.span,
                f"`{statement.target.text}` is set twice",
                help=f"first at {first.span.line}:{first.span.column}; keep one",
                labels=(Label(first.target.span, "first here"),),
            )
            continue
        mine[parts] = statement
        for key in [k for k in found if k[: len(parts)] == parts]:
            del found[key]
        found[parts] = (statement, piece.origin)
    return list(found.values())
