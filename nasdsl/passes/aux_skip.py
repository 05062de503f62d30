"""An auxiliary skip beside every mixed operation of the supernet.

DARTS- (arXiv 2009.01027, equation 3): an edge computes b x + sum_o softmax(alpha)_o o(x). b runs
by a schedule, 1 -> 0 in the paper, so nothing of it is left in the end; the skip is in the
supernet alone. On edges that stride or change the number of channels it is a factorized
reduction without affine parameters, as in the paper's code.
"""

from __future__ import annotations

from dataclasses import replace

from nasdsl.ir.cell import Cell, CellEdge
from nasdsl.ir.op import Op, Par, Prim, Seq
from nasdsl.ir.optable import OPS, ShapeError
from nasdsl.ir.space import Space
from nasdsl.passes.edges import PassError, decided, over_edges


def aux_skip(space: Space, by: float = 1.0) -> Space:
    """The space with a skip times `by` beside the operation of every edge with a choice.

    Raises PassError where there is none, and where no skip fits.
    """
    made: list[str] = []

    def edit(cell: Cell, edge: CellEdge) -> Op:
        if not decided(edge.op):
            return edge.op
        made.append(edge.key)
        op = edge.op
        skip = _skip(op, f"{cell.name}: {edge.key}")
        scale = Prim(kind="scaled", attrs=(("by", by),), inp=op.out, out=op.out, span=op.span)
        beside = Seq(parts=(*skip, scale), inp=op.inp, out=op.out, span=op.span)
        return Par(how="sum", parts=(op, beside), inp=op.inp, out=op.out, span=op.span)

    supernet = over_edges(space.supernet, edit)
    if not made:
        raise PassError(f"`aux_skip`: no edge of `{space.name}` has a choice")
    return replace(space, supernet=supernet)


def _skip(op: Op, place: str) -> tuple[Prim, ...]:
    if op.inp == op.out:
        return ()
    attrs = (("out", op.out.channels), ("bias", False), ("affine", False))
    try:
        out = OPS["factorized_reduce"].shape(dict(attrs), op.inp)
    except ShapeError as error:
        raise PassError(f"`aux_skip` at {place}: {error}") from None
    if out != op.out:
        raise PassError(f"`aux_skip` at {place}: no skip leads from {op.inp} to {op.out}")
    return (Prim(kind="factorized_reduce", attrs=attrs, inp=op.inp, out=out, span=op.span),)
