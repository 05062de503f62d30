"""Cells at their places: equal places share one cell, cells may be operations."""

from __future__ import annotations

from nasdsl.ir.cell import Cell
from nasdsl.ir.op import Nested, Op
from nasdsl.ir.shape import Shape
from nasdsl.lowering.cell import assemble
from nasdsl.lowering.cell import definition as cells
from nasdsl.lowering.scope import Closure, Context, Env, Place
from nasdsl.source import Span

#: How deep cells may stand in cells.
MAX_NESTED = 16


def shared(
    ctx: Context,
    definition: cells.Definition,
    shapes: tuple[Shape, ...],
    width: int,
    stride: int,
    table: str,
    stage: str,
    override: dict[str, int],
    stride_at: Span | None = None,
) -> Cell:
    """Instances of one cell at equal places are one value."""
    params = tuple(
        (k, id(v.node) if isinstance(v, Closure) else repr(v)) for k, v in definition.params.items()
    )
    settings = tuple(sorted(override.items()))
    key = (definition.name, shapes, width, stride, table, settings, params)
    if key not in ctx.cells:
        ctx.cells[key] = assemble.build(
            ctx,
            definition,
            shapes,
            width,
            stride,
            table=table,
            stage=stage,
            override=override,
            stride_at=stride_at,
        )
    return ctx.cells[key]


def nested_cell(
    ctx: Context, name: str, env: Env, place: Place, inp: Shape, span: Span, fresh: bool
) -> Op:
    """A cell as an operation at a place; it has one input. Raises Broken."""
    ctx.made += 1
    if ctx.depth > MAX_NESTED:
        raise ctx.fail("E114", span, f"cell `{name}` contains itself")
    definition = cells.find(ctx, name, env, span)
    if cells.input_count(definition) != 1:
        raise ctx.fail("E226", span, f"cell `{name}` has several inputs; an operation has one")
    table = f"{name}@{place.identity}" if fresh else name
    # The decisions of a cell are its own, wherever it is used.
    nesting, ctx.nesting = ctx.nesting, []
    ctx.depth += 1
    try:
        cell = shared(ctx, definition, (inp,), place.width, place.stride, table, place.stage, {})
    finally:
        ctx.nesting = nesting
        ctx.depth -= 1
    return Nested(cell=cell, inp=inp, out=cell.out, span=span)
