"""A cell with its edges picked by a genotype: what is left of it."""

from __future__ import annotations

from nasdsl.ir.cell import CellInput, Keep, Pick, subset_identity
from nasdsl.lowering.cell.building import Building
from nasdsl.lowering.cell.edges import EdgeSpec, left_out
from nasdsl.lowering.cell.nodes import NodeSpec
from nasdsl.lowering.cell.reading import reads
from nasdsl.lowering.settled import Settled, settle
from nasdsl.syntax import ast


def settled(
    work: Building,
    inputs: tuple[CellInput, ...],
    specs: list[NodeSpec],
    edge_specs: list[EdgeSpec],
    keeps: tuple[Keep, ...],
    picks: tuple[Pick, ...],
) -> Settled | None:
    """What is left of the cell; None while its edges are still to be picked, and where all stay.

    Without `pick` a cell whose output splits its channels is settled from the start.
    """
    gene = work.ctx.genotype
    prefix = f"{work.table}/"
    resolved = gene is not None and any(key.startswith(prefix) for key, _ in gene.picks)
    found = [(s, e) for s, e, _ in work.definition.statements if isinstance(s, ast.Out)]
    if not found or (picks and not resolved):
        return None
    statement, env = found[-1]
    read, split = reads(work, statement.value, env)
    replaced = dict(gene.outputs).get(work.table) if gene is not None else None
    if replaced is not None:
        read, split = [*replaced], []
    if not picks and not split:
        return None
    picked: dict[str, tuple[str, ...]] = {}
    if gene is not None:
        for target in (t for pick in picks for t in pick.targets):
            picked[target] = gene.of(subset_identity(work.table, target))
    made = settle(
        inputs=[entry.name for entry in inputs],
        nodes=[spec.name for spec in specs],
        edges=[
            (e.source, e.target)
            for e in edge_specs
            if not left_out(work, e, f"{prefix}{e.target}<-{e.source}", keeps, work.env(e.env))
        ],
        picked=picked,
        read=read,
        split=split,
        width=work.width,
    )
    if 0 in made.shares.values():
        raise work.ctx.fail(
            "E208",
            statement.span,
            f"{work.width} channels cannot be split among {len(made.shares)} nodes",
            "a wider cell, or fewer nodes",
        )
    return made
