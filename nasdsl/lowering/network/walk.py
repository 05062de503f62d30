"""The walk along a network: what has been built, and the running width."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nasdsl.ir.cell import Cell
from nasdsl.ir.op import Op
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Stage
from nasdsl.lowering.scope import Broken, Context, Env
from nasdsl.source import Span


@dataclass(slots=True)
class Walk:
    """The walk along a network: what has been built, and the running width."""

    ctx: Context
    env: Env
    width: int
    stages: list[Stage] = field(default_factory=list)
    #: Indices of stages whose outputs cells may look back to.
    history: list[int] = field(default_factory=list)
    inp: Shape | None = None
    aux: Stage | None = None
    counter: int = 0
    #: The rounds of repeats of decided depth that the walk is in, outermost first.
    rounds: tuple[tuple[str, str, int], ...] = ()
    broken: bool = False

    def shape(self, index: int) -> Shape:
        if index < 0:
            if self.inp is None:
                raise Broken
            return self.inp
        return self.stages[index].out

    @property
    def last(self) -> int:
        return self.history[-1] if self.history else -1


def guard(walk: Walk, step: Any) -> None:
    """Take a step; where it fails the walk is broken and goes on."""
    try:
        step()
    except Broken:
        walk.broken = True


def origin_of(ctx: Context, part: str) -> Env:
    """The scope of a part of a network: the file is that of the block that wrote it."""
    piece = ctx.block.pieces.get((part,))
    module = piece.origin.module if piece else ctx.block.module
    return Env(module, ctx.block)


def push(
    walk: Walk,
    name: str,
    role: str,
    body: Op | Cell,
    inputs: tuple[int, ...],
    out: Shape,
    span: Span,
) -> None:
    """A stage more, which later stages may look back to."""
    walk.stages.append(
        Stage(
            name=name,
            role=role,
            body=body,
            inputs=inputs,
            out=out,
            rounds=walk.rounds,
            span=span,
        )
    )
    walk.history.append(len(walk.stages) - 1)
