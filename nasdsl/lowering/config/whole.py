"""What only a whole block tells: lengths against keys, parts of a split against each other."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.model import Label
from nasdsl.ir.config import Component, Data, Pipeline, Settings, Steps, Time, Total, show
from nasdsl.lowering.blocks import Block
from nasdsl.lowering.config import overlaps, pairings
from nasdsl.lowering.config.context import Context
from nasdsl.source import Span


def check(ctx: Context, block: Block, made: Settings, *, broken: bool) -> None:
    if block.kind == "recipe":
        _recipe(ctx, block, made)
        if not broken:
            pairings.check(ctx, block, made)
    elif block.kind == "split":
        _split(ctx, block, made)
    elif block.kind == "dataset" and not broken:
        for slot in ("source", "shape"):
            if made.get(slot) is None:
                ctx.diags.add("E305", block.span, f"data set `{block.name}` has no `{slot}`")


def _span(block: Block, *key: str) -> Span:
    piece = block.pieces.get(key)
    if piece is None:
        return block.span
    return piece.span


def _recipe(ctx: Context, block: Block, made: Settings) -> None:
    if made.phases:
        own = block.get("attr", "epochs")
        for piece in block.all("phase"):
            if own is not None and own.origin is piece.origin:
                ctx.diags.add(
                    "E333",
                    own.span,
                    "both the recipe and its phases have `epochs`",
                    help="with phases the run is as long as they are together",
                    labels=(Label(piece.span, "a phase"),),
                )
                break
    for name, phase in made.phases:
        epochs = phase.get("epochs")
        if epochs is None:
            ctx.diags.add(
                "E305",
                _span(block, "phase", name),
                f"phase `{name}` has no `epochs`",
            )
        _lengths(ctx, block, phase, epochs)
    if not made.phases:
        _lengths(ctx, block, made, made.get("epochs"))


def _lengths(ctx: Context, block: Block, made: Settings, epochs: Any) -> None:
    """Times and keys against the length of the run; warm-ups that never end."""
    if not isinstance(epochs, Fraction):
        return
    total = int(epochs)
    for slot, value in made.values:
        for component in _components(value):
            for key, arg in component.args:
                if isinstance(arg, Steps):
                    _keys(ctx, arg, total, block, slot)
                if key == "start" and isinstance(arg, Time) and slot in ("arch", "weights"):
                    first = arg.epochs(total)
                    if first >= total and total > 0:
                        ctx.diags.add(
                            "W501",
                            component.span or block.span,
                            f"`{slot}` starts at epoch {first} of {total}: it is never updated",
                            help=f"`{slot}.start = …` below {total}, or more epochs",
                        )
        if isinstance(value, Steps):
            _keys(ctx, value, total, block, slot)


def _keys(ctx: Context, steps: Steps, total: int, block: Block, slot: str) -> None:
    for time, _ in steps.entries:
        if time.epochs(total) >= total:
            where = steps.span or _span(block, "attr", slot)
            ctx.diags.add(
                "E332",
                ctx.keys.get((id(steps.span), time), where),
                f"schedule key `{show(time)}` lies beyond `epochs = {total}`",
                help=f"keys run from 0 to {total - 1}",
            )


def _split(ctx: Context, block: Block, made: Settings) -> None:
    parts = {k: v for k, v in made.values if isinstance(v, Data)}
    for name, part in parts.items():
        if part.low > part.high or (not part.indices and part.low == part.high):
            ctx.diags.add(
                "E404",
                _span(block, "attr", *name.split(".")),
                f"`{name}` is empty",
                help="a range runs upwards: `data[0%..50%]`",
            )
    for stage in ("search", "retrain"):
        train, valid = parts.get(f"{stage}.train"), parts.get(f"{stage}.valid")
        amount = overlaps.shared(train, valid) if train and valid else None
        if amount is None:
            continue
        ctx.diags.add(
            "E402",
            _span(block, "attr", stage, "valid"),
            f"`{stage}.train` and `{stage}.valid` share {amount}",
            help=f"{stage} would be judged on what it was trained on; make them disjoint",
            labels=(Label(_span(block, "attr", stage, "train"), "the other part"),),
        )


def _components(value: Any) -> list[Component]:
    match value:
        case Component():
            return [value]
        case Total() | Pipeline():
            return [p for p in value.parts if isinstance(p, Component)]
        case _:
            return []
