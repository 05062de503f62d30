"""Walk over the edges of every cell of a network, cells inside operations as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from nasdsl.ir import rewrite
from nasdsl.ir.cell import Cell, CellEdge
from nasdsl.ir.op import Choice, Nested, Op, walk
from nasdsl.ir.space import Network


class PassError(ValueError):
    """A graph edit cannot be made on this space; the text says where and why."""


Edit = Callable[[Cell, CellEdge], Op]


def over_edges(network: Network, edit: Edit) -> Network:
    """The network with the operation of every edge as `edit` gives it, inner cells first."""
    return over_cells(network, lambda cell: _edited(cell, edit))


def over_cells(network: Network, edit: Callable[[Cell], Cell]) -> Network:
    """The network with every cell as `edit` gives it, inner cells first."""
    visitor = _Cells(edit)
    stages = tuple(
        replace(
            s,
            body=visitor.cell(s.body) if isinstance(s.body, Cell) else rewrite.op(s.body, visitor),
        )
        for s in network.stages
    )
    return replace(network, stages=stages)


class _Cells(rewrite.Plain):
    def __init__(self, edit: Callable[[Cell], Cell]) -> None:
        self.edit = edit

    def whole(self, of: Op) -> Op | None:
        return replace(of, cell=self.cell(of.cell)) if isinstance(of, Nested) else None

    def cell(self, of: Cell) -> Cell:
        return self.edit(rewrite.cell(of, self))


def _edited(cell: Cell, edit: Edit) -> Cell:
    return replace(cell, edges=tuple(replace(e, op=edit(cell, e)) for e in cell.edges))


def decided(op: Op) -> bool:
    """Whether a choice stands in an operation: then it is a mixed operation of the supernet."""
    return any(isinstance(part, Choice) for part in walk(op))


def outermost(op: Op, edit: Callable[[Choice], Op]) -> Op:
    """An operation with its outermost choices as `edit` gives them."""
    return rewrite.op(op, _Outermost(edit))


class _Outermost(rewrite.Plain):
    def __init__(self, edit: Callable[[Choice], Op]) -> None:
        self.edit = edit

    def whole(self, of: Op) -> Op | None:
        if isinstance(of, Nested):
            return of
        return self.edit(of) if isinstance(of, Choice) else None
