"""A cell while it is put together: what its statements have named so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nasdsl.ir.op import Prim
from nasdsl.ir.shape import Shape
from nasdsl.lowering.cell.definition import Definition
from nasdsl.lowering.scope import Context, Env, Place
from nasdsl.lowering.settled import Settled
from nasdsl.source import Span


@dataclass(slots=True)
class Building:
    """A cell while it is put together."""

    ctx: Context
    definition: Definition
    table: str
    stage: str
    stride: int
    width: int
    env_extra: dict[str, Any]
    #: Where the stride of the place was written.
    stride_at: Span | None = None
    shapes: dict[str, Shape] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    input_names: set[str] = field(default_factory=set)
    excluded: list[tuple[str, Span]] = field(default_factory=list)
    #: What is left of the cell, where its edges are picked.
    settled: Settled | None = None

    def env(self, env: Env) -> Env:
        return env.bind(**self.env_extra)

    def place(self, identity: str, stride: int, c_in: int, width: int | None = None) -> Place:
        return Place(
            stride=stride,
            width=width if width is not None else self.width,
            c_in=c_in,
            identity=identity,
            table=self.table,
            stage=self.stage,
            searched=True,
        )


def unchanged(shape: Shape, span: Span) -> Prim:
    """The operation that hands a shape on as it is."""
    return Prim(kind="identity", inp=shape, out=shape, span=span)


def listed(names: list[str]) -> str:
    """At most four names, and how many more there are."""
    shown = [f"`{name}`" for name in names[:4]]
    return ", ".join(shown) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
