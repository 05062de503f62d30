"""What a value of a space may be besides a plain one: sets, data sets from outside."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from nasdsl.ir.shape import Shape
from nasdsl.lowering.blocks import Block
from nasdsl.lowering.scope import Env
from nasdsl.source import Span
from nasdsl.syntax import ast


@dataclass(frozen=True, slots=True)
class Item:
    """A member of a set: its label and how to evaluate it."""

    label: str
    node: ast.Value | None
    env: Env
    span: Span
    #: The op set that holds it.
    owner: str = ""


@dataclass(frozen=True, slots=True)
class SetValue:
    """An ordered set; equal labels are one member."""

    items: tuple[Item, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(i.label for i in self.items)


@dataclass(frozen=True, slots=True)
class Given:
    """A data set given from outside: only its shape and class count matter to a space."""

    name: str
    shape: Shape
    classes: int


def kind_of(found: Any) -> str:
    """A value's type in words."""
    match found:
        case bool():
            return "a boolean"
        case Fraction():
            return "a number"
        case str():
            return "a string"
        case SetValue():
            return "a set"
        case tuple() | list():
            return "a list"
        case Shape():
            return "a shape"
        case Block():
            return f"a {found.kind}"
        case _:
            return "this"
