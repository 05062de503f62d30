"""What stands on an edge: primitives, sequences, parallel branches, choices.

Every operation is elaborated: parameters are plain values, input and output shapes are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nasdsl.ir.shape import Shape
from nasdsl.source import Span

if TYPE_CHECKING:
    from nasdsl.ir.cell import Cell

Scalar = int | float | bool | str | tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prim:
    """A primitive of the op table, with every parameter decided."""

    kind: str
    attrs: tuple[tuple[str, Scalar], ...] = ()
    inp: Shape
    out: Shape
    span: Span | None = field(default=None, compare=False, repr=False)

    def get(self, name: str) -> Scalar:
        """The value of a parameter. Raises KeyError."""
        for key, value in self.attrs:
            if key == name:
                return value
        raise KeyError(name)

    def integer(self, name: str) -> int:
        value = self.get(name)
        if not isinstance(value, int):
            raise TypeError(f"{self.kind}.{name} is not a whole number")
        return value

    def number(self, name: str) -> float:
        value = self.get(name)
        if not isinstance(value, int | float):
            raise TypeError(f"{self.kind}.{name} is not a number")
        return float(value)

    def integers(self, name: str) -> tuple[int, ...]:
        value = self.get(name)
        if not isinstance(value, tuple):
            raise TypeError(f"{self.kind}.{name} is not a list")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Seq:
    """One after the other; empty is the identity."""

    parts: tuple[Op, ...]
    inp: Shape
    out: Shape
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Par:
    """The same input through every part: outputs summed (`sum`) or joined (`concat`).

    `picked` is a sum of operations that a genotype puts on one edge beside each other.
    """

    how: str
    parts: tuple[Op, ...]
    inp: Shape
    out: Shape
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A decision between operations of one shape; columns of its mix in this order.

    `explored`: what arrives adds weights of its own to the mix, see `nasdsl.passes.explore`.
    """

    decision: str
    labels: tuple[str, ...]
    options: tuple[Op, ...]
    inp: Shape
    out: Shape
    explored: bool = False
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Varied:
    """One primitive under every joint setting of the value decisions it depends on.

    `options` are in row-major order of `labels` (one tuple per decision). Weights are shared:
    those of every option are a slice of the largest's, leading channels and central kernel.
    `inp` and `out` are the largest shapes.
    """

    decisions: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    options: tuple[Prim, ...]
    inp: Shape
    out: Shape
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """One operation in several forms, by the setting of decisions among values.

    As where a width that is decided makes a shortcut an identity or a convolution. `form` says
    for every joint setting, in row-major order of `labels`, which of `options` stands; under the
    settings of others an option is as under some setting of its own. `inp` and `out` are the
    largest shapes, those of an option may be smaller.
    """

    decisions: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    form: tuple[int, ...]
    options: tuple[Op, ...]
    inp: Shape
    out: Shape
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """A cell with one input, used as an operation."""

    cell: Cell
    inp: Shape
    out: Shape
    span: Span | None = field(default=None, compare=False, repr=False)


Op = Prim | Seq | Par | Choice | Varied | Forms | Nested


def parts(op: Op) -> tuple[Op, ...]:
    """The operations directly inside one."""
    match op:
        case Seq() | Par():
            return op.parts
        case Choice() | Forms():
            return op.options
        case _:
            return ()


def walk(op: Op) -> Iterator[Op]:
    """An operation and everything inside it, outside first; nested cells are not entered."""
    yield op
    for part in parts(op):
        yield from walk(part)


def is_identity(op: Op) -> bool:
    """Whether an operation hands its input on unchanged."""
    match op:
        case Prim(kind="identity"):
            return True
        case Seq():
            return all(is_identity(p) for p in op.parts)
        case _:
            return False


def is_none(op: Op) -> bool:
    """Whether an operation yields only zeros."""
    return isinstance(op, Prim) and op.kind == "none"
