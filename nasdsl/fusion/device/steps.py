"""The steps of a region forward: stages, pools, sums, gathers, as launches on a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nasdsl.fusion.device.frame import Frame, images, ld, rows
from nasdsl.fusion.device.layout import simple
from nasdsl.fusion.generated.region import ACTS, Depthwise, Gather, Piece, Pool, Stage, Sum
from nasdsl.kernels.device import depthwise as deep
from nasdsl.kernels.device import head, moments, pointwise, pool, sums
from nasdsl.kernels.device.launch import POSITIONS, Launch, tiles, wide


@dataclass(frozen=True, slots=True)
class Moments:
    """Where the moments of the tiles of a map go, and how many channels stand there side by side."""

    to: Tensor
    width: int


#: Maps whose moments are wanted.
Wanted = Mapping[int, Moments]


def step(frame: Frame, bundle: Sequence[int], wanted: Wanted) -> None:
    """Carries out one step, or depthwise stages that belong together."""
    code = [frame.layout.plan.code[k] for k in bundle]
    first = code[0]
    match first:
        case Stage() if first.depthwise is not None:
            depthwise(frame, [s for s in code if isinstance(s, Stage)], wanted)
        case Stage():
            dense(frame, first, wanted)
        case Pool():
            pooled(frame, first, wanted)
        case Sum():
            weighted(frame, first)
        case Gather():
            gather(frame, bundle[0], first)


# ---- convolutions


def filters(frame: Frame, part: Depthwise | Piece) -> Tensor:
    """The weights of a convolution, next to each other."""
    return frame.parameters[(part.path, "weight")].contiguous()


def bias_of(frame: Frame, part: Depthwise | Piece) -> Tensor | None:
    return frame.parameters[(part.path, "bias")] if part.bias else None


def space(frame: Frame, source: int, out: int) -> dict[str, int]:
    """Height and width of what a window reads and of what it makes."""
    (high, wide_), (tall, broad) = frame.layout.extents[source], frame.layout.extents[out]
    return {"H": high, "W": wide_, "OH": tall, "OW": broad}


def convolved(frame: Frame, stages: Sequence[Stage], wanted: Wanted) -> list[Tensor]:
    """The depthwise convolutions of stages that read one head; those without more are maps."""
    arguments, constants = frame.reading(stages[0].source)
    source = frame.layout.region.heads[stages[0].source].map
    channels, count = frame.layout.region.maps[source].channels, frame.count(stages[0].out)
    parts = [s.depthwise for s in stages if s.depthwise is not None]
    made = [frame.empty(count, channels) if s.pieces else frame.make(s.out) for s in stages]
    kept = [None if s.pieces else wanted.get(s.out) for s in stages]
    shapes = tuple(
        (p.kernel, p.dilation, p.pad, p.bias, q is not None)
        for p, q in zip(parts, kept, strict=True)
    )
    biases = [bias_of(frame, p) for p in parts]
    frame.tiled(
        deep.depthwise,
        (count, channels),
        {
            **arguments,
            "weights": tuple(filters(frame, p) for p in parts),
            "biases": tuple(arguments["x"] if b is None else b for b in biases),
            "ys": tuple(made),
            "moments": tuple(arguments["x"] if q is None else q.to for q in kept),
            "width": next((q.width for q in kept if q is not None), 0),
            **space(frame, source, stages[0].out),
        },
        {**constants, "SHAPES": shapes, "STRIDE": parts[0].stride},
    )
    return made


def depthwise(frame: Frame, stages: Sequence[Stage], wanted: Wanted) -> None:
    for stage, made in zip(stages, convolved(frame, stages, wanted), strict=True):
        for piece in stage.pieces:
            plain = {"x": made, "ld": ld(made), "norm": made, "stride": 0}
            how = {"NORMED": False, "ACT": 0, "SLOPE": 0.0}
            at = {"H": 1, "W": made.shape[0], "OH": 1, "OW": made.shape[0]}
            product(frame, stage.out, piece, plain, how, at, frame.make(stage.out), wanted)


def product(
    frame: Frame,
    out: int,
    piece: Piece,
    arguments: dict[str, Any],
    constants: dict[str, Any],
    at: dict[str, int],
    y: Tensor,
    wanted: Wanted,
) -> None:
    """A pointwise piece of a map."""
    weight, bias, kept = filters(frame, piece), bias_of(frame, piece), wanted.get(out)
    count, made, read = frame.count(out), piece.last - piece.first, weight.shape[1]
    across = wide(made, 64)
    x = arguments["x"]
    frame.launch(
        Launch(
            kernel=pointwise.pointwise,
            grid=(tiles(count), tiles(made, across)),
            arguments={
                **arguments,
                "weight": weight,
                "bias": x if bias is None else bias,
                "y": y[:, piece.first :],
                "ldy": ld(y),
                "moments": x if kept is None else kept.to[piece.first :],
                "width": 0 if kept is None else kept.width,
                "P": count,
                "CIN": read,
                "COUT": made,
                **at,
                "OFFSET": -piece.pad[0],
            },
            constants={
                **constants,
                "STRIDE": piece.stride,
                "BIAS": bias is not None,
                "MOMENTS": kept is not None,
                "BP": POSITIONS,
                "BN": across,
                "BK": wide(read),
            },
        )
    )


def dense(frame: Frame, stage: Stage, wanted: Wanted) -> None:
    """Pointwise pieces by the kernel, larger windows by the library of the device."""
    source = frame.layout.region.heads[stage.source].map
    if all(p.kernel == 1 for p in stage.pieces):
        arguments, constants = frame.reading(stage.source)
        y, at = frame.make(stage.out), space(frame, source, stage.out)
        for piece in stage.pieces:
            product(frame, stage.out, piece, arguments, constants, at, y, wanted)
        return
    (piece,) = stage.pieces
    x = images(read(frame, stage.source), frame.n, frame.layout.extents[source])
    weight, bias = frame.parameters[(piece.path, "weight")], bias_of(frame, piece)
    y = rows(torch.ops.aten.convolution(x, weight, bias, *window(piece), False, [0, 0], 1))
    frame.values[stage.out] = y
    kept = wanted.get(stage.out)
    if kept is not None:
        arguments = {"y": y, "ld": ld(y), "to": kept.to, "width": kept.width}
        frame.tiled(moments.moments, y.shape, arguments, {})


def window(piece: Piece) -> tuple[list[int], list[int], list[int]]:
    """Stride, border and dilation as torch takes them."""
    return [piece.stride] * 2, list(piece.pad), [piece.dilation] * 2


def read(frame: Frame, index: int) -> Tensor:
    """A head as a matrix of its own."""
    one = frame.layout.region.heads[index]
    if simple(one):
        return frame.values[one.map]
    arguments, constants = frame.reading(index)
    made = frame.like(one.map)
    frame.tiled(head.read_head, made.shape, {**arguments, "to": made}, constants)
    return made


# ---- pools, sums, gathers


def pooling(step: Pool) -> dict[str, Any]:
    return {
        "LARGEST": step.largest,
        "KERNEL": step.kernel,
        "STRIDE": step.stride,
        "PAD": step.pad,
        "INCLUDE": step.include_pad,
    }


def pooled(frame: Frame, step: Pool, wanted: Wanted, winners: Tensor | None = None) -> None:
    """With `winners` also where in its window every maximum stood."""
    arguments, constants = frame.reading(step.source)
    source, kept = frame.layout.region.heads[step.source].map, wanted.get(step.out)
    y, x = frame.make(step.out), arguments["x"]
    frame.tiled(
        pool.pool,
        y.shape,
        {
            **arguments,
            "y": y,
            "winners": x if winners is None else winners,
            "moments": x if kept is None else kept.to,
            "width": 0 if kept is None else kept.width,
            **space(frame, source, step.out),
        },
        {
            **constants,
            **pooling(step),
            "WINNERS": winners is not None,
            "MOMENTS": kept is not None,
        },
    )


def terms(frame: Frame, step: Sum) -> tuple[dict[str, Any], list[tuple[bool, int, float]]]:
    """Arguments of the kernels of a sum, and what each term is."""
    heads = [frame.layout.region.heads[t] for t in step.terms]
    xs = tuple(frame.values[h.map] for h in heads)
    return {
        "xs": xs,
        "lds": tuple(ld(x) for x in xs),
        "norms": tuple(frame.norm_of(t) for t in step.terms),
        "stride": frame.layout.normed,
        "weights": frame.weights,
        "first": frame.layout.slot_number[step.terms[0]],
    }, [(h.norm is not None, ACTS[h.act], h.slope) for h in heads]


def weighted(frame: Frame, step: Sum) -> None:
    y = frame.values[step.out] if step.adds else frame.make(step.out)
    if not step.terms:
        y.zero_()
        return
    arguments, kinds = terms(frame, step)
    frame.tiled(
        sums.weighted_sum,
        y.shape,
        {**arguments, "y": y, "ldy": ld(y)},
        {"TERMS": tuple(kinds), "ADDS": step.adds},
    )


def gather(frame: Frame, k: int, step: Gather) -> None:
    """Channels of other maps side by side; a whole map is that map."""
    region = frame.layout.region
    leaves = region.maps[step.out].place == "output"
    if not leaves and len(step.runs) == 1:
        (run,) = step.runs
        if run.map is not None:
            frame.values[step.out] = frame.values[run.map][:, run.start : run.start + run.n]
            return
    y = frame.values[step.out] if leaves else frame.make(step.out)
    order = frame.tables.orders.get(k)
    if order is not None:
        source = step.runs[0].map
        assert source is not None
        y.copy_(frame.values[source].index_select(1, order[0]))
        return
    for run in step.runs:
        part = y[:, run.to : run.to + run.n]
        if run.map is None:
            part.zero_()
        elif frame.layout.homes.get(run.map) != (step.out, run.to):
            part.copy_(frame.values[run.map][:, run.start : run.start + run.n])
