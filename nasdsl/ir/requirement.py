"""`require` statements as values: a test of measures, kept with its text."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

#: Measures of a network, those of cells, and those of both.
OF_NETWORK = ("params", "flops", "memory")
OF_CELL = ("edges", "connected")
OF_BOTH = ("depth", "count")
MEASURES = (*OF_NETWORK, *OF_BOTH, *OF_CELL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measure; `label` is the operation that `count` counts."""

    name: str
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A number."""

    value: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A comparison, an arithmetic operation, or `and` and `or`, of two parts."""

    op: str
    left: Test
    right: Test


@dataclass(frozen=True, slots=True, kw_only=True)
class Negation:
    """`not`."""

    inner: Test


Test = Measure | Amount | Relation | Negation


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A `require` statement: its text, and of which cell's table it speaks (None: the network)."""

    text: str
    test: Test
    table: str | None = None

    def __str__(self) -> str:
        return self.text if self.table is None else f"{self.text} (in {self.table})"


OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "<=": operator.le,
        "<": operator.lt,
        ">=": operator.ge,
        ">": operator.gt,
        "==": operator.eq,
        "!=": operator.ne,
        "+": operator.add,
        "-": operator.sub,
        "*": operator.mul,
        "/": operator.truediv,
        "//": operator.floordiv,
    }
)


class RequireError(ValueError):
    """A requirement cannot be evaluated."""


def evaluate(test: Test, measured: Callable[[Measure], Fraction | bool]) -> Fraction | bool:
    """The value of a test, given those of the measures; `and` and `or` stop where they can.

    Raises RequireError.
    """
    match test:
        case Amount():
            return test.value
        case Measure():
            return measured(test)
        case Negation():
            return not evaluate(test.inner, measured)
        case Relation(op="and"):
            return bool(evaluate(test.left, measured)) and bool(evaluate(test.right, measured))
        case Relation(op="or"):
            return bool(evaluate(test.left, measured)) or bool(evaluate(test.right, measured))
        case _:
            left, right = evaluate(test.left, measured), evaluate(test.right, measured)
            if test.op in ("/", "//") and right == 0:
                raise RequireError("a requirement divides by zero")
            found: Fraction | bool = OPERATORS[test.op](left, right)
            return found


def measures_in(test: Test) -> list[Measure]:
    """The measures of a test, from left to right."""
    match test:
        case Measure():
            return [test]
        case Negation():
            return measures_in(test.inner)
        case Relation():
            return measures_in(test.left) + measures_in(test.right)
        case _:
            return []
