"""Exact arithmetic: operators and functions on numbers, and how numbers are written."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

from nasdsl.lowering.scope import Context
from nasdsl.source import Span
from nasdsl.syntax import ast

#: Whole numbers and other numbers beyond these are slips; lists are shorter than the third.
MANY, HUGE, LONG = 10**12, 10**300, 100_000

FUNCTIONS = ("round_to", "exp", "min", "max")


def arithmetic(ctx: Context, op: str, a: Fraction, b: Fraction, span: Span) -> Any:
    """A number or a condition from two numbers; E217 for division by zero."""
    match op:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "<":
            return a < b
        case "<=":
            return a <= b
        case ">":
            return a > b
        case ">=":
            return a >= b
        case "/" | "//":
            if b == 0:
                raise ctx.fail("E217", span, "division by zero")
            return a / b if op == "/" else Fraction(a // b)
        case _:
            raise ctx.fail("E213", span, f"`{op}` does not join numbers")


def call_function(ctx: Context, name: str, args: list[Fraction], span: Span) -> Fraction:
    """One of `FUNCTIONS` on numbers. Raises Broken."""
    if name == "exp" and len(args) == 1:
        if abs(args[0]) > 700:
            raise ctx.fail("E028", span, "`exp` of this is out of range", "|x| is at most 700")
        return Fraction(math.exp(args[0]))
    if name in ("min", "max") and args:
        return min(args) if name == "min" else max(args)
    if name == "round_to" and len(args) == 2 and args[1] > 0:
        # To the nearest multiple, never more than 10 % below (MobileNet's rule).
        step = args[1]
        nearest = max(step, Fraction((args[0] + step / 2) // step) * step)
        return nearest + step if nearest < args[0] * Fraction(9, 10) else nearest
    raise ctx.fail("E112", span, f"`{name}` does not take these arguments")


def division(node: ast.Value) -> Span:
    """The `/` of a formula, which spoils a whole number; the formula where there is none."""
    todo: list[ast.Value] = [node]
    while todo:
        part = todo.pop()
        if isinstance(part, ast.Unary):
            todo.append(part.operand)
        elif isinstance(part, ast.Binary):
            if part.op == "/":
                return part.op_span
            todo.extend((part.right, part.left))
    return node.span


_DECIMAL = re.compile(r"[+-]?\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,3})?", re.ASCII)


def decimal(text: str) -> Fraction | None:
    """The number of a decimal text such as `0.25` or `1e-3`; None where it is none."""
    return Fraction(text) if _DECIMAL.fullmatch(text) else None


def as_written(value: Fraction) -> str:
    """A number as a person writes it."""
    return str(value.numerator if value.denominator == 1 else float(value))
