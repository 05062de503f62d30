"""Whether shapes fit: at a place, where branches join, and among the options of a choice."""

from __future__ import annotations

from nasdsl.ir.op import Op, Par, Prim
from nasdsl.ir.shape import Shape, strided
from nasdsl.lowering.scope import Broken, Context, Place
from nasdsl.lowering.value.kinds import Item
from nasdsl.source import Span
from nasdsl.syntax import ast


def expected(place: Place, inp: Shape) -> Shape:
    """The shape a place wants: its width, the input's extent over its stride."""
    return Shape(inp.kind, (place.width, *(strided(n, place.stride) for n in inp.space)))


def _only_none(op: Op) -> bool:
    return isinstance(op, Prim) and op.kind == "none"


def _stride_advice(op: Op, wanted: Shape, inp: Shape) -> str | None:
    if op.out.space != wanted.space and op.out.space == inp.space:
        return "it ignores the stride of its place; pass `stride = stride`"
    if op.out.channels != wanted.channels:
        return "`out = width` gives the channels of the place"
    return None


def joined(
    ctx: Context,
    how: str,
    nodes: tuple[ast.Value, ...],
    parts: list[Op],
    span: Span,
    inp: Shape,
) -> Op:
    """Parallel branches as one operation; E212 where their shapes do not fit."""
    first = parts[0].out
    if how == "concat":
        if any(p.out.space != first.space or p.out.kind != first.kind for p in parts):
            shapes = ", ".join(str(p.out) for p in parts)
            raise ctx.fail("E212", span, f"`concat` needs equal extents; {shapes} arrive")
        channels = sum(p.out.channels for p in parts)
        return Par(
            how=how, parts=tuple(parts), inp=inp, out=first.with_channels(channels), span=span
        )
    for part, node in zip(parts, nodes, strict=True):
        if part.out != first:
            raise ctx.fail(
                "E212",
                node.span,
                f"parallel branches differ: {first} and {part.out}",
                "branches that are summed need one shape",
            )
    flat: list[Op] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Par) and part.how == "sum" else (part,))
    return Par(how=how, parts=tuple(flat), inp=inp, out=first, span=span)


def agreed_shape(
    ctx: Context,
    span: Span,
    items: tuple[Item, ...],
    options: list[Op],
    wanted: Shape,
    inp: Shape,
) -> Shape:
    """The shape that all options of a choice yield; E207 and E211 where there is none."""
    broken = False
    first = options[0].out
    agreed = wanted if any(o.out == wanted for o in options) else first
    for item, option in zip(items, options, strict=True):
        if option.out != agreed:
            ctx.diags.add(
                "E207",
                span,
                f"`{item.label}` yields {option.out}, the others {agreed}",
                help=_stride_advice(option, agreed, inp),
            )
            broken = True
    if broken:
        raise Broken
    if len(items) == len([i for i, o in zip(items, options, strict=True) if _only_none(o)]):
        raise ctx.fail("E211", span, "only `none` is left to choose from")
    return agreed
