"""Schedules: `cosine(a -> b)` and `steps({0: a, 10: b})`."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from nasdsl.ir.config import Component, Schedule, Steps, Time, Word
from nasdsl.lowering.config.context import UNKNOWN, Context, Scope, time_of
from nasdsl.syntax import ast


def schedule(ctx: Context, form: str, node: ast.Call, scope: Scope) -> Schedule:
    per_epoch = False
    ends: tuple[Fraction, Fraction] | None = None
    for arg in node.args:
        if arg.name == "per":
            if not isinstance(arg.value, ast.Name) or arg.value.text not in ("epoch", "step"):
                raise ctx.fail("E304", arg.value.span, "`per` is `epoch` or `step`")
            per_epoch = arg.value.text == "epoch"
        elif arg.name is not None:
            raise ctx.fail("E303", arg.span, f"`{form}` has no argument `{arg.name}`", "it has per")
        else:
            start = _number_or_unknown(ctx, arg.value, scope)
            end = _number_or_unknown(ctx, arg.to, scope) if arg.to is not None else start
            ends = (start, end)
    if ends is None:
        raise ctx.fail("E305", node.span, f"`{form}` needs its ends", f"`{form}(0.1 -> 0)`")
    single = next((a for a in node.args if a.name is None and a.to is None), None)
    if form != "constant" and single is not None:
        raise ctx.fail("E305", single.span, f"`{form}` runs from a to b", f"`{form}(a -> b)`")
    if form == "exponential" and (ends[0] <= 0 or ends[1] <= 0):
        raise ctx.fail("E322", node.span, "an exponential schedule runs between positive numbers")
    return Schedule(form, ends[0], ends[1], per_epoch, node.span)


def steps(ctx: Context, node: ast.Call, scope: Scope) -> Steps:
    if len(node.args) != 1 or not isinstance(node.args[0].value, ast.MapOf):
        raise ctx.fail("E305", node.span, "`steps` takes a map: `steps({0: a, 10: b})`")
    entries: list[tuple[Time, Any]] = []
    for key, value in node.args[0].value.items:
        time = time_of(key, ctx.number(key, scope))
        if (
            entries
            and time.relative == entries[-1][0].relative
            and time.value <= entries[-1][0].value
        ):
            raise ctx.fail("E335", key.span, "keys of a schedule rise", "sort the entries")
        ctx.keys[id(node.span), time] = key.span
        entries.append((time, ctx.value(value, scope)))
    first = entries[0][0]
    events = all(isinstance(v, Component | Word) for _, v in entries)
    if first.value != 0 and not events:
        raise ctx.fail(
            "E335", node.args[0].value.items[0][0].span, "the keys of a schedule begin at 0"
        )
    return Steps(tuple(entries), node.span)


def _number_or_unknown(ctx: Context, node: ast.Value, scope: Scope) -> Fraction:
    found = ctx.value(node, scope)
    # A stand-in while the space is unknown; it is positive and nothing depends on it.
    return Fraction(1) if found is UNKNOWN else ctx.number(node, scope)
