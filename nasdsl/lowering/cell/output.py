"""The output of a cell: nodes, joined and followed by operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nasdsl.ir.cell import AGGREGATORS, After, Arrival, CellEdge, Join, Output, shares
from nasdsl.ir.shape import Shape
from nasdsl.lowering.cell.building import Building
from nasdsl.lowering.cell.ends import ends
from nasdsl.lowering.cell.reading import aggregates, as_end, reads, splits
from nasdsl.lowering.operation.application import apply
from nasdsl.lowering.scope import Broken, Env
from nasdsl.source import Span
from nasdsl.syntax import ast


def cell_output(
    work: Building, edges: list[CellEdge], dropped: set[str], gene: Any
) -> tuple[Output, Shape]:
    """The output of a cell and its shape; a genotype may name what is joined. Raises Broken."""
    ctx = work.ctx
    found = [(s, e) for s, e, _ in work.definition.statements if isinstance(s, ast.Out)]
    if not found:
        if work.definition.partial:
            raise Broken
        raise ctx.fail(
            "E204", work.definition.span, f"cell `{work.definition.name}` has no `out`", "`out x`"
        )
    statement, env = found[-1]
    if gene is not None:
        replaced = dict(gene.outputs).get(work.table)
        if replaced is not None:
            parts = tuple(Arrival(node=n) for n in replaced)
            shapes = [work.shapes[n] for n in replaced]
            channels = sum(s.channels for s in shapes)
            return Join(how="concat", parts=parts), shapes[0].with_channels(channels)
    through = {e.source: e.op.out for e in edges if e.target == "out"}
    if work.settled is not None:
        dropped = dropped | {n for n in work.order if n not in work.settled.joined}
    maker = _Out(work, env, through, dropped)
    output, shape = maker.make(statement.value)
    return output, shape


@dataclass(slots=True)
class _Out:
    work: Building
    env: Env
    through: dict[str, Shape]
    dropped: set[str]

    def make(self, node: ast.Value) -> tuple[Output, Shape]:
        ctx = self.work.ctx
        match node:
            case ast.Call() if isinstance(node.func, ast.Name) and aggregates(node):
                split = splits(self.work, node, self.env)
                parts = [p for a in node.args if a.name is None for p in self.parts(a.value)]
                return self.join(node.func.text, parts, node.span, split=split)
            case ast.Binary(op="+"):
                sides = [self.make(n) for n in (node.left, node.right) if self.left_of(n)]
                return self.join("sum", sides, node.span)
            case ast.Binary(op=">>"):
                inner, shape = self.make(node.left)
                place = self.work.place(f"{self.work.table}/out", 1, shape.channels)
                op = apply(ctx, node.right, self.work.env(self.env), place, shape)
                return After(inner=inner, op=op), op.out
            case _:
                parts = self.parts(node)
                if len(parts) == 1:
                    return parts[0]
                return self.join("sum", parts, node.span)

    def left_of(self, node: ast.Value) -> bool:
        """Whether anything that a part of an output names is left; an unknown name is."""
        names, _ = reads(self.work, node, self.env)
        return not names or any(n not in self.dropped for n in names)

    def parts(self, node: ast.Value) -> list[tuple[Output, Shape]]:
        work = self.work
        end = as_end(node)
        if end is None:
            joins = isinstance(node, ast.Binary) and node.op in ("+", ">>")
            if joins or (isinstance(node, ast.Call) and aggregates(node)):
                return [self.make(node)]
            raise work.ctx.fail(
                "E213",
                node.span,
                "an output is made of nodes",
                f"`x`, `x[-1]`, `a + b`, or one of {', '.join(AGGREGATORS)}: `concat(x)`",
            )
        names = ends(work, end, self.env)
        return [
            (Arrival(node=n), self.through.get(n) or work.shapes[n])
            for n in names
            if n not in self.dropped
        ]

    def join(
        self, how: str, parts: list[tuple[Output, Shape]], span: Span, *, split: bool = False
    ) -> tuple[Output, Shape]:
        ctx = self.work.ctx
        if not parts:
            raise ctx.fail("E224", span, "nothing reaches the output")
        first = parts[0][1]
        outputs = tuple(o for o, _ in parts)
        if split:
            width = self.work.width
            if width < len(parts):
                raise ctx.fail(
                    "E208",
                    span,
                    f"{width} channels cannot be split among {len(parts)} nodes",
                    "a wider cell, or fewer nodes",
                )
            if tuple(s.channels for _, s in parts) != shares(width, len(parts)):
                how = "split"
            elif len(parts) == 1:
                return parts[0]
        for _, shape in parts:
            if shape.space != first.space or (how not in ("concat", "split") and shape != first):
                raise ctx.fail(
                    "E207", span, f"the output joins {first} and {shape}", "they need one shape"
                )
        if how == "split":
            return Join(how=how, parts=outputs), first.with_channels(self.work.width)
        if how == "concat":
            channels = sum(s.channels for _, s in parts)
            return Join(how=how, parts=outputs), first.with_channels(channels)
        if len(parts) == 1:
            return outputs[0], first
        return Join(how=how, parts=outputs), first
