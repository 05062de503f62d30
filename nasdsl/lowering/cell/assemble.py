"""Cells at their place: nodes and edges in order, from inputs to the output."""

from __future__ import annotations

from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.cell import Cell, CellEdge, CellInput, CellNode, Keep, Pick
from nasdsl.ir.shape import Shape, strided
from nasdsl.lowering.cell.building import Building, listed
from nasdsl.lowering.cell.definition import Definition
from nasdsl.lowering.cell.edges import EdgeSpec, placed_edge, stated_edges
from nasdsl.lowering.cell.finish import finish
from nasdsl.lowering.cell.inputs import prepared_inputs
from nasdsl.lowering.cell.nodes import NodeSpec, joined_node, stated_nodes
from nasdsl.lowering.cell.output import cell_output
from nasdsl.lowering.cell.picked import settled
from nasdsl.lowering.cell.rules import keeps_and_picks
from nasdsl.lowering.scope import Broken, Closure, Context, Place
from nasdsl.lowering.value.evaluation import integer
from nasdsl.source import Span
from nasdsl.syntax import ast


def build(
    ctx: Context,
    definition: Definition,
    inputs: tuple[Shape, ...],
    width: int,
    stride: int,
    *,
    table: str,
    stage: str,
    override: dict[str, int],
    stride_at: Span | None = None,
) -> Cell:
    """The cell at a place. `width` and `stride` are those of the place. Raises Broken."""
    extra: dict[str, Any] = dict(definition.params)
    here = Place(stride, width, inputs[-1].channels, table, table, stage, searched=True)
    for statement, env, _ in definition.statements:
        if isinstance(statement, ast.Let):
            extra[statement.name.text] = Closure(
                statement.value, env.bind(**definition.params), f"{table}/{statement.name.text}"
            )
    for statement, env, _ in definition.statements:
        if isinstance(statement, ast.Attr):
            name = statement.target.text
            if name in definition.params:
                continue
            if name not in ("stride", "width"):
                raise ctx.fail(
                    "E103",
                    statement.target.span,
                    f"a cell has no attribute `{name}`",
                    did_you_mean(name, ("stride", "width")) or "it has stride, width",
                )
            found = integer(ctx, statement.value, env.bind(**extra), here, name)
            if name == "stride":
                stride = found
                stride_at = stride_at or statement.span
            else:
                width = found
    stride, width = override.get("stride", stride), override.get("width", width)
    if stride < 1 or width < 1:
        what, number = ("stride", stride) if stride < 1 else ("width", width)
        raise ctx.fail("E208", definition.span, f"`{what}` must be positive, not {number}")
    work = Building(ctx, definition, table, stage, stride, width, extra, stride_at)
    cell_inputs = prepared_inputs(work, inputs)
    nodes = stated_nodes(work)
    edges = stated_edges(work)
    keeps, picks = keeps_and_picks(work)
    return _assemble(work, cell_inputs, nodes, edges, keeps, picks)


def _assemble(
    work: Building,
    inputs: tuple[CellInput, ...],
    specs: list[NodeSpec],
    edge_specs: list[EdgeSpec],
    keeps: tuple[Keep, ...],
    picks: tuple[Pick, ...],
) -> Cell:
    ctx = work.ctx
    gene = ctx.genotype
    reachable = {e.target for e in edge_specs}
    work.settled = settled(work, inputs, specs, edge_specs, keeps, picks)
    if work.settled is not None:
        left = work.settled.edges
        edge_specs = [e for e in edge_specs if (e.source, e.target) in left]
        picks = ()
    edges: list[CellEdge] = []
    nodes: list[CellNode] = []
    dropped: set[str] = set()
    broken = False
    by_target: dict[str, list[EdgeSpec]] = {}
    for edge_spec in edge_specs:
        by_target.setdefault(edge_spec.target, []).append(edge_spec)
    for spec in specs:
        arriving: list[CellEdge] = []
        into = by_target.get(spec.name, [])
        if not into and spec.name in reachable:
            dropped.add(spec.name)
            continue
        if not into:
            if not work.definition.partial:
                alone = [s.name for s in specs if s.name not in reachable]
                ctx.diags.add(
                    "E210",
                    spec.statement,
                    f"nothing reaches {listed(alone)}",
                    help=f"add an edge: `edge … -> {spec.name}`",
                )
            raise Broken
        for edge in into:
            try:
                made = placed_edge(work, edge, keeps, dropped)
            except Broken:
                broken = True
                continue
            if made is not None:
                arriving.append(made)
        if broken:
            work.shapes[spec.name] = _place_shape(work)
            continue
        if not arriving:
            dropped.add(spec.name)
            continue
        edges.extend(arriving)
        try:
            node, shape = joined_node(work, spec, arriving)
        except Broken:
            broken = True
            work.shapes[spec.name] = _place_shape(work)
            continue
        nodes.append(node)
        work.shapes[spec.name] = shape
    if broken:
        raise Broken
    for edge in (e for e in edge_specs if e.target == "out"):
        made = placed_edge(work, edge, keeps, dropped)
        if made is not None:
            edges.append(made)
    output, out = cell_output(work, edges, dropped, gene)
    cell = Cell(
        name=work.definition.name,
        table=work.table,
        stride=work.stride,
        width=work.width,
        inputs=inputs,
        nodes=tuple(nodes),
        edges=tuple(edges),
        output=output,
        out=out,
        keeps=keeps,
        picks=picks,
        span=work.definition.span,
    )
    if gene is None:
        finish(work, cell, specs)
    return cell


def _place_shape(work: Building) -> Shape:
    """What a node would be, for going on after an error."""
    base = next(iter(work.shapes.values()))
    return Shape(base.kind, (work.width, *(strided(n, work.stride) for n in base.space)))
