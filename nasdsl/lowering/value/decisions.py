"""Decisions among values: their identity, and the value that each has here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from nasdsl.ir.space import Decision
from nasdsl.lowering.blocks import Piece
from nasdsl.lowering.modules import Def
from nasdsl.lowering.scope import Broken, Closure, Context, Env, Place, block_env, resolve
from nasdsl.lowering.value.arithmetic import LONG, as_written, decimal
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value


def decide(
    ctx: Context,
    node: ast.Node,
    place: Place | None,
    labels: Sequence[str],
    count: int | None = None,
    *,
    low: Fraction | None = None,
    high: Fraction | None = None,
    log: bool = False,
) -> str:
    """Record a decision among values and give its identity; E501 where none can be made."""
    ctx.decided += 1
    if place is None:
        raise ctx.fail("E501", node.span, "no decision can be made here")
    identity = ctx.identity(place.identity, node)
    # Below an alternative a decision has no table: it exists only with that alternative.
    table = place.table if ctx.nesting else place.table or identity
    ctx.record(
        Decision(
            id=identity,
            table=table,
            kind="value",
            labels=tuple(labels),
            count=count,
            low=low,
            high=high,
            log=log,
            span=node.span,
        )
    )
    return identity


def one_of(
    ctx: Context, node: ast.Unary, place: Place | None, labels: Sequence[str], results: list[Any]
) -> Any:
    """A decision among values: the picked one, or in a supernet the largest number."""
    identity = decide(ctx, node, place, labels)
    picked = ctx.picked(identity)
    if picked is not None and picked in labels:
        at = labels.index(picked)
    elif all(isinstance(r, Fraction) for r in results):
        at = results.index(max(results))
    else:
        at = 0
    ctx.chosen[identity] = labels[at]
    return results[at]


def fresh(ctx: Context, node: ast.Unary, env: Env, place: Place | None) -> Closure:
    """What `fresh` names, to be decided once more at the place."""
    if not isinstance(node.operand, ast.Name) or place is None:
        raise ctx.fail("E220", node.span, "`fresh` takes the name of a decision or a cell")
    found = resolve(ctx, node.operand.text, env)
    name = f"{node.operand.text}@{place.identity}"
    match found:
        case Piece() if isinstance(found.node, ast.Let):
            closure = Closure(found.node.value, block_env(ctx.block, found), name)
        case Closure():
            closure = Closure(found.node, found.env, name)
        case Def() if isinstance(found.node, ast.Let):
            closure = Closure(found.node.value, Env(found.module), name)
        case _:
            raise ctx.fail("E220", node.span, "`fresh` takes the name of a decision or a cell")
    # One decision per use: the syntax that asks owns it.
    inner = _Again(closure.node)
    return Closure(inner.node, closure.env, name)


@dataclass(frozen=True, slots=True)
class _Again:
    node: ast.Value


def int_domain(
    ctx: Context, node: ast.IntDomain, place: Place | None, low: int, high: int, step: int
) -> Fraction:
    """A whole number of `int low..high by step`: what is picked, else the largest."""
    if high < low or step < 1:
        raise ctx.fail("E221", node.span, f"no whole number lies in {low}..{high} by {step}")
    if (high - low) // step >= LONG:
        raise ctx.fail("E116", node.span, f"{low}..{high} has too many options to list", "`by`")
    labels = [str(i) for i in range(low, high + 1, step)]
    identity = decide(ctx, node, place, labels)
    picked = ctx.picked(identity)
    ctx.chosen[identity] = picked if picked in labels else labels[-1]
    return Fraction(ctx.chosen[identity])


def float_domain(
    ctx: Context, node: ast.FloatDomain, place: Place | None, low: Fraction, high: Fraction
) -> Fraction:
    """A number of a domain that lists no options: what a genotype says, else the middle.

    The middle is the mean of the bounds, under `log` their geometric mean. It is not relaxed:
    a supernet has one value there.
    """
    if low > high:
        raise ctx.fail("E221", node.span, f"no number lies in {low}..{high}")
    if node.log and low <= 0:
        raise ctx.fail("E221", node.low.span, "`log` needs positive bounds")
    identity = decide(ctx, node, place, ("float",), count=-1, low=low, high=high, log=node.log)
    picked = ctx.picked(identity)
    if picked is None:
        if node.log:
            return Fraction(math.exp((math.log(low) + math.log(high)) / 2))
        return (low + high) / 2
    found = decimal(picked)
    if found is None or not low <= found <= high:
        raise ctx.fail(
            "E221",
            node.span,
            f"`{picked[:40]}` is no number in {as_written(low)}..{as_written(high)}",
        )
    return found


def set_to_decision(ctx: Context, node: ast.Binary) -> Broken:
    """E107 for a set that is added to a decision or taken from it."""
    left = node.left.operand if isinstance(node.left, ast.Unary) else node.left
    verb = "subtract a set from" if node.op == "-" else "add a set to"
    return ctx.fail(
        "E107",
        node.op_span,
        f"cannot {verb} a decision",
        f"`one_of ({format_value(left)} {node.op} {format_value(node.right)})`",
    )
