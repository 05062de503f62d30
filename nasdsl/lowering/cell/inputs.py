"""The inputs of a cell at its place, each brought to the shape its nodes work on."""

from __future__ import annotations

from nasdsl.ir.cell import CellInput
from nasdsl.ir.op import Op
from nasdsl.ir.shape import Shape
from nasdsl.lowering.cell.building import Building, unchanged
from nasdsl.lowering.operation.application import apply
from nasdsl.lowering.scope import Broken
from nasdsl.syntax import ast


def prepared_inputs(work: Building, shapes: tuple[Shape, ...]) -> tuple[CellInput, ...]:
    """The inputs of a cell on what arrives; E207 where they end at several resolutions."""
    ctx = work.ctx
    found = [(s, e) for s, e, _ in work.definition.statements if isinstance(s, ast.In)]
    if not found:
        if work.definition.partial:
            raise Broken
        raise ctx.fail(
            "E204", work.definition.span, f"cell `{work.definition.name}` has no `in`", "`in a`"
        )
    statement, env = found[-1]
    coarsest = min((s.space[0] if s.space else 1) for s in shapes)
    result = []
    for entry, shape in zip(statement.inputs, shapes, strict=True):
        name = entry.name.text
        if name in work.shapes:
            raise ctx.fail("E203", entry.name.span, f"`{name}` is defined twice in this cell")
        relative = -(-shape.space[0] // coarsest) if shape.space else 1
        place = work.place(f"{work.table}/{name}", relative, shape.channels)
        if entry.prepare is None:
            prepared: Op = unchanged(shape, entry.span)
        else:
            prepared = apply(ctx, entry.prepare, work.env(env), place, shape)
        work.shapes[name] = prepared.out
        work.input_names.add(name)
        work.order.append(name)
        result.append(CellInput(name=name, inp=shape, prepare=prepared, span=entry.span))
    first = result[-1].prepare.out
    for made in result:
        if made.prepare.out.space != first.space:
            ctx.diags.add(
                "E207",
                made.span or work.definition.span,
                f"input `{made.name}` is {made.prepare.out}, `{result[-1].name}` {first}",
                help="an input that ignores its `stride` keeps the finer resolution",
            )
            raise Broken
    return tuple(result)
