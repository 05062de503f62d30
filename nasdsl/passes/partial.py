"""Partial channel connections: a part of the channels through the mixed operation.

PC-DARTS (arXiv 1907.05737, section 3.2, equation 2): of C channels the first C // k go through
the mixed operation, all others pass by; both are joined and the channels shuffled with k groups,
so that the next edge takes others. Where the operation strides by s, what passes by is max-pooled
over s x s, a window at the border as large as the image leaves it: then sizes are right for odd
extents too. Where k does not divide C the shuffle is padded (see `channel_shuffle`).

Operations are narrowed as a whole: every number of channels inside is scaled by (C // k) / C.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nasdsl.ir.cell import Cell, CellEdge
from nasdsl.ir.op import Choice, Op, Par, Prim, Scalar, Seq
from nasdsl.ir.optable import OPS, ShapeError
from nasdsl.ir.shape import RANK, Shape, strided
from nasdsl.ir.space import Space
from nasdsl.passes.edges import PassError, outermost, over_edges


def partial(space: Space, k: int) -> Space:
    """The space with 1/k of the channels of every edge through its mixed operation.

    Edges whose choice changes the number of channels stay as they are. Raises PassError where no
    edge is left, and for operations that cannot be narrowed.
    """
    if k < 2:
        return space
    made: list[str] = []

    def edit(cell: Cell, edge: CellEdge) -> Op:
        def part(choice: Choice) -> Op:
            if choice.inp.channels != choice.out.channels:
                return choice
            found = _part(choice, k, f"{cell.name}: {edge.key}")
            made.append(edge.key)
            return found

        return outermost(edge.op, part)

    supernet = over_edges(space.supernet, edit)
    if not made:
        raise PassError(
            f"`partial`: no edge of `{space.name}` has a choice with as many channels in as out"
        )
    return replace(space, supernet=supernet)


def _part(choice: Choice, k: int, place: str) -> Op:
    channels = choice.inp.channels
    if choice.inp.kind not in RANK:
        raise PassError(f"`partial` at {place}: it needs an image, {choice.inp} arrives")
    if channels < k:
        raise PassError(f"`partial` at {place}: {channels} channels have no 1/{k}")
    part = channels // k
    inp = choice.inp.with_channels(part)
    try:
        narrow = narrowed(choice, inp, channels, part)
    except ShapeError as error:
        raise PassError(
            f"`partial` at {place}: with {part} of {channels} channels {error}"
        ) from None
    if narrow.out != choice.out.with_channels(part):
        raise PassError(f"`partial` at {place}: its operations do not scale with their channels")
    first = Prim(kind="narrow", attrs=(("out", part),), inp=choice.inp, out=inp, span=choice.span)
    through = Seq(parts=(first, narrow), inp=choice.inp, out=narrow.out, span=choice.span)
    by = Prim(
        kind="channels_from",
        attrs=(("first", part), ("stride", _stride(choice.inp, choice.out, place))),
        inp=choice.inp,
        out=choice.out.with_channels(channels - part),
        span=choice.span,
    )
    both = Par(how="concat", parts=(through, by), inp=choice.inp, out=choice.out, span=choice.span)
    shuffle = Prim(
        kind="channel_shuffle",
        attrs=(("groups", k),),
        inp=choice.out,
        out=choice.out,
        span=choice.span,
    )
    return Seq(parts=(both, shuffle), inp=choice.inp, out=choice.out, span=choice.span)


def _stride(inp: Shape, out: Shape, place: str) -> int:
    """The stride of an operation: sizes are those of ceil(extent / stride)."""
    for stride in range(1, max(inp.space) + 1):
        if tuple(strided(n, stride) for n in inp.space) == out.space:
            return stride
    raise PassError(f"`partial` at {place}: {inp} -> {out} is no stride")


def narrowed(op: Op, inp: Shape, whole: int, part: int) -> Op:
    """An operation with its channels scaled by part / whole, on the shape that arrives.

    Raises ShapeError, and PassError for what has no such form.
    """
    match op:
        case Prim():
            return _prim(op, inp, whole, part)
        case Seq():
            parts: list[Op] = []
            at = inp
            for inner in op.parts:
                parts.append(narrowed(inner, at, whole, part))
                at = parts[-1].out
            return replace(op, parts=tuple(parts), inp=inp, out=at)
        case Par():
            parts = [narrowed(p, inp, whole, part) for p in op.parts]
            out = parts[0].out
            if op.how == "concat":
                out = out.with_channels(sum(p.out.channels for p in parts))
            return replace(op, parts=tuple(parts), inp=inp, out=out)
        case Choice():
            options = tuple(narrowed(o, inp, whole, part) for o in op.options)
            if len({o.out for o in options}) > 1:
                raise ShapeError("the options have several shapes")
            return replace(op, options=options, inp=inp, out=options[0].out)
        case _:
            raise PassError("`partial`: cells and decided sizes inside a choice are not narrowed")


def _prim(op: Prim, inp: Shape, whole: int, part: int) -> Prim:
    def scaled(n: int) -> int:
        return part if n == whole else max(1, n * part // whole)

    attrs: dict[str, Scalar] = dict(op.attrs)
    given: Mapping[str, Scalar] = dict(op.attrs)
    if isinstance(given.get("out"), int):
        attrs["out"] = scaled(op.out.channels)
    groups = given.get("groups")
    if isinstance(groups, int) and op.kind == "conv" and groups > 1:
        attrs["groups"] = inp.channels if groups == op.inp.channels else groups
    out = OPS[op.kind].shape(dict(attrs), inp)
    return replace(op, attrs=tuple((k, attrs[k]) for k, _ in op.attrs), inp=inp, out=out)
