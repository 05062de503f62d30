"""Components of a recipe that do not go together, shown where they were written."""

from __future__ import annotations

from nasdsl.diagnostics.model import Label
from nasdsl.ir import compatibility
from nasdsl.ir.config import Settings
from nasdsl.lowering.blocks import Block
from nasdsl.lowering.config.context import Context
from nasdsl.source import Span
from nasdsl.syntax import ast


def check(ctx: Context, block: Block, made: Settings) -> None:
    """E336 for every pair of slots that does not fit, in the recipe or in one of its phases."""
    for phase, settings in compatibility.stretches(made):
        for found in compatibility.conflicts(settings):
            first, other = _place(block, phase, found.slot), _place(block, phase, found.other)
            slots = [found.slot, found.other]
            # What the recipe writes itself comes before what it inherits.
            if other is not None and (first is None or (other[1] and not first[1])):
                first, other = other, first
                slots.reverse()
            where = first[0] if first is not None else block.span
            labels: tuple[Label, ...] = ()
            if other is not None and other[0] != where:
                labels = (Label(other[0], f"this `{slots[1]}`"),)
            pair = " and ".join(f"`{s}`" for s in dict.fromkeys(slots))
            ctx.diags.add(
                "E336",
                where,
                f"{pair} do not go together: {found.reason}"
                if len(set(slots)) > 1
                else f"{pair} does not fit: {found.reason}",
                help=f"in phase `{phase}`" if phase else None,
                labels=labels,
            )


def _place(block: Block, phase: str, slot: str) -> tuple[Span, bool] | None:
    """Where a slot is set, and whether the recipe itself sets it; None where it never is."""
    piece = block.get("phase", phase) if phase else None
    if piece is not None and isinstance(piece.node, ast.Phase):
        for statement in piece.node.body:
            if isinstance(statement, ast.Attr) and statement.target.parts[0] == slot:
                return statement.target.span, True
    found = block.get("attr", slot)
    if found is None:
        found = next((p for p in block.all("attr") if p.key[1] == slot), None)
    if found is None:
        return (piece.span, piece.origin is block) if piece is not None else None
    return found.span, found.origin is block
