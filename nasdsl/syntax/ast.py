"""The syntax tree: what was written, value by value and statement by statement.

Every node is frozen and knows its span; spans do not count in comparison, so two trees are
equal exactly when they are the same program.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from nasdsl.source import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    span: Span = field(compare=False, repr=False)


# ---- values


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Node):
    """`3`, `0.5`, `3e-4`, `20k`, `25%`: an exact fraction; `text` keeps the spelling."""

    value: Fraction
    text: str = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class String(Node):
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Boolean(Node):
    value: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Name(Node):
    """`a` or `a.b.c`."""

    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Node):
    """`-x`, `not x`, `fresh x`, `one_of x`."""

    op: str
    operand: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Node):
    """Two operands around `+ - * / // >> == != < <= > >= and or`."""

    op: str
    left: Value
    right: Value
    op_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class If(Node):
    """`then if condition else otherwise`."""

    then: Value
    condition: Value
    otherwise: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Node):
    """An argument: positional or named; `a -> b` (of a schedule) has a second value."""

    name: str | None
    value: Value
    to: Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Node):
    func: Value
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range(Node):
    """`a..b`, inclusive, inside `[ ]`."""

    low: Value
    high: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier(Node):
    """The index `<`: every earlier node of the same array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscript(Node):
    base: Value
    index: Value | Range | Earlier


@dataclass(frozen=True, slots=True, kw_only=True)
class IntDomain(Node):
    """`int 2..8 by 2`."""

    low: Value
    high: Value
    step: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatDomain(Node):
    """`float 1e-4..1e-1 log`."""

    low: Value
    high: Value
    log: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOf(Node):
    items: tuple[Value | Range, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOf(Node):
    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOf(Node):
    items: tuple[tuple[Value, Value], ...]


Value = (
    Number
    | String
    | Boolean
    | Name
    | Unary
    | Binary
    | If
    | Call
    | Subscript
    | IntDomain
    | FloatDomain
    | ListOf
    | SetOf
    | MapOf
)


# ---- statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Ident(Node):
    """A name where it is defined or set."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Param(Node):
    name: Ident
    default: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFile(Node):
    """`import "x.nas" as x`."""

    path: String
    alias: Ident


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportNames(Node):
    """`from "x.nas" import a, b`."""

    path: String
    names: tuple[Ident, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Let(Node):
    name: Ident
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Attr(Node):
    """`a.b = value`."""

    target: Name
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Require(Node):
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Op(Node):
    name: Ident
    params: tuple[Param, ...]
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Node):
    name: Ident
    value: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ops(Node):
    name: Ident
    parents: tuple[Name, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class End(Node):
    """One end of an edge: `prev`, `x`, `x[2]`, `x[-4..-1]`, `x[<]`, `out`."""

    name: Ident
    index: Value | Range | Earlier | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellInput(Node):
    name: Ident
    prepare: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class In(Node):
    inputs: tuple[CellInput, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDef(Node):
    """`node x[4] : F`."""

    name: Ident
    count: Value | None
    value: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge(Node):
    sources: tuple[End, ...]
    targets: tuple[End, ...]
    op: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick(Node):
    count: Value
    per: tuple[End, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Node):
    count: Value
    per: tuple[End, ...] | None
    exclude: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Out(Node):
    value: Value


CellStmt = In | NodeDef | Edge | Pick | Keep | Out | Let | Require | Attr


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell(Node):
    name: Ident
    params: tuple[Param, ...]
    parents: tuple[Name, ...]
    body: tuple[CellStmt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input(Node):
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Stem(Node):
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Node):
    value: Value
    attrs: tuple[Attr, ...]
    at: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head(Node):
    value: Value
    at: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat(Node):
    count: Value
    body: tuple[Input | Stem | Stage | Head | Repeat | Let, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target(Node):
    attrs: tuple[Attr, ...]


NetStmt = Input | Stem | Stage | Head | Repeat
SpaceStmt = Let | Op | Ops | Cell | Input | Stem | Stage | Head | Repeat | Require | Attr | Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Space(Node):
    name: Ident
    params: tuple[Param, ...]
    parents: tuple[Name, ...]
    body: tuple[SpaceStmt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase(Node):
    name: Ident
    parents: tuple[Name, ...]
    body: tuple[Attr | Let, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Node):
    """A recipe, dataset, split, train or suite: one shape, five schemas."""

    kind: str
    name: Ident
    params: tuple[Param, ...]
    parents: tuple[Name, ...]
    body: tuple[Attr | Let | Require | Phase, ...]


Import = ImportFile | ImportNames
Definition = Let | Op | Ops | Cell | Space | Config
Item = Import | Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment(Node):
    """`# …`, kept for the formatter; `own_line` when nothing stands before it."""

    text: str
    own_line: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Module(Node):
    """A whole file. Comments do not count in comparison."""

    version: Number
    items: tuple[Item, ...]
    comments: tuple[Comment, ...] = field(default=(), compare=False, repr=False)
