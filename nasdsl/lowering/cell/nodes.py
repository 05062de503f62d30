"""The nodes of a cell: arrays of them, their aggregators, and the operation behind."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nasdsl.ir.cell import AGGREGATORS, CellEdge, CellNode
from nasdsl.ir.op import Op
from nasdsl.ir.shape import Shape
from nasdsl.lowering.cell.building import Building, unchanged
from nasdsl.lowering.operation.application import apply
from nasdsl.lowering.scope import Broken, Env
from nasdsl.lowering.value.evaluation import integer
from nasdsl.source import Span
from nasdsl.syntax import ast


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node as it is written: one of an array, its value, its scope, its statement."""

    name: str
    value: ast.Value | None
    env: Env
    span: Span
    statement: Span


def stated_nodes(work: Building) -> list[NodeSpec]:
    """The nodes of a cell in order; a child writes those of a name anew. Raises Broken."""
    specs: dict[str, tuple[list[NodeSpec], int]] = {}
    ctx = work.ctx
    for statement, env, layer in work.definition.statements:
        if not isinstance(statement, ast.NodeDef):
            continue
        base = statement.name.text
        if base in work.input_names or (base in specs and specs[base][1] == layer):
            raise ctx.fail("E203", statement.name.span, f"`{base}` is defined twice in this cell")
        here = work.place(work.table, 1, 1)
        names = [base]
        if statement.count is not None:
            count = integer(ctx, statement.count, work.env(env), here, "number of nodes")
            if not 1 <= count <= 1000:
                raise ctx.fail(
                    "E202", statement.count.span, f"a cell has 1 to 1000 nodes, not {count}"
                )
            names = [f"{base}[{i}]" for i in range(1, count + 1)]
        elif base in work.arrays:
            names = work.arrays[base]
        work.arrays[base] = names
        specs[base] = (
            [NodeSpec(n, statement.value, env, statement.name.span, statement.span) for n in names],
            layer,
        )
    nodes = [spec for group, _ in specs.values() for spec in group]
    work.order.extend(spec.name for spec in nodes)
    return nodes


def joined_node(work: Building, spec: NodeSpec, arriving: list[CellEdge]) -> tuple[CellNode, Shape]:
    """A node on what arrives: its aggregator, the operation behind, its shape. Raises Broken."""
    ctx = work.ctx
    how, after_node = "sum", spec.value
    if isinstance(spec.value, ast.Name) and spec.value.text in AGGREGATORS:
        how, after_node = spec.value.text, None
    elif isinstance(spec.value, ast.Binary) and spec.value.op == ">>":
        first = spec.value
        while isinstance(first.left, ast.Binary) and first.left.op == ">>":
            first = first.left
        if isinstance(first.left, ast.Name) and first.left.text in AGGREGATORS:
            how = first.left.text
            after_node = _without_first(spec.value)
    shape = joined(work, how, arriving, spec)
    if after_node is None:
        after: Op = unchanged(shape, spec.span)
    else:
        width = work.settled.widths.get(spec.name) if work.settled is not None else None
        place = work.place(f"{work.table}/{spec.name}", 1, shape.channels, width)
        after = apply(ctx, after_node, work.env(spec.env), place, shape)
    return CellNode(name=spec.name, how=how, after=after, span=spec.span), after.out


def _without_first(node: ast.Binary) -> ast.Value:
    if isinstance(node.left, ast.Binary) and node.left.op == ">>":
        return replace(node, left=_without_first(node.left))
    return node.right


def joined(work: Building, how: str, arriving: list[CellEdge], spec: NodeSpec) -> Shape:
    """The shape after an aggregator; E207 where arrivals do not fit."""
    shapes = [e.op.out for e in arriving]
    first = shapes[0]
    for edge, shape in zip(arriving, shapes, strict=True):
        fits = shape.space == first.space if how == "concat" else shape == first
        if not fits:
            work.ctx.diags.add(
                "E207",
                edge.span or spec.span,
                f"edge {edge.source} -> {edge.target} yields {shape}, "
                f"{edge.target} expects {first}",
                help="arrivals that are summed need one shape; `out = width` in the op?",
            )
            raise Broken
    if how == "concat":
        return first.with_channels(sum(s.channels for s in shapes))
    return first
