"""Edge normalisation: a weight per edge beside the weights of its operations.

PC-DARTS (arXiv 1907.05737, section 3.3, equation 3): x_j = sum_i softmax_i(beta)_(i,j) f_(i,j)(x_i),
a softmax over the edges that arrive at a node. The betas of a node are one row more in the table
of its cell, a column per edge, so that they are architecture parameters as all others are:
initialised, mixed, optimised, carried and saved with the alphas. In a discrete network every edge
that is kept has weight one; the betas say which are (see `nasdsl.ir.discretize`).
"""

from __future__ import annotations

from dataclasses import replace

from nasdsl.ir.cell import Cell, beta_identity
from nasdsl.ir.space import Decision, Space
from nasdsl.passes.edges import PassError, decided, over_cells


def edge_norm(space: Space) -> Space:
    """The space with a row of betas per node that at least two edges with choices reach.

    Raises PassError where edges are picked already, and where no node has such edges.
    """
    betas: dict[str, Decision] = {}

    def edit(cell: Cell) -> Cell:
        targets = tuple(
            node.name
            for node in cell.nodes
            if len(cell.into(node.name)) > 1 and any(decided(e.op) for e in cell.into(node.name))
        )
        if targets and cell.picks:
            raise PassError(
                f"`edge_norm`: which edges of `{cell.name}` are used is decided by `pick` already"
            )
        for target in targets:
            identity = beta_identity(cell.table, target)
            betas[identity] = Decision(
                id=identity,
                table=cell.table,
                kind="beta",
                labels=tuple(e.source for e in cell.into(target)),
                span=cell.span,
            )
        return replace(cell, weighted=targets)

    supernet = over_cells(space.supernet, edit)
    if not betas:
        raise PassError(f"`edge_norm`: no node of `{space.name}` has several edges with choices")
    return replace(space, supernet=supernet, decisions=(*space.decisions, *betas.values()))
