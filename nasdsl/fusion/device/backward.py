"""The backward pass of a call: what forward did in reverse, on the same schedule."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nasdsl.fusion.device.back import Back
from nasdsl.fusion.device.dense_back import dense
from nasdsl.fusion.device.steps import convolved, filters, pooled, pooling, space, step, terms
from nasdsl.fusion.generated.region import Gather, Pool, Stage, Sum
from nasdsl.kernels.device import depthwise as deep
from nasdsl.kernels.device import pool, sums
from nasdsl.kernels.device.launch import tiles


def backward(back: Back) -> None:
    """Goes through the schedule; the gradients of what leaves are in `back.maps`."""
    made = back.frame.layout
    for phase in made.backward:
        for bundle in phase:
            asked = [k for k in bundle if k < 0 or made.plan.code[k].out in back.wanted.maps]
            if asked:
                _step(back, asked)
            for k in bundle:
                back.frame.drop(made.unread_backward.get(k, ()))
                for index in made.settled.get(k, ()):
                    back.maps.pop(index, None)


def _step(back: Back, bundle: Sequence[int]) -> None:
    code = back.frame.layout.plan.code
    if bundle[0] < 0:
        _again(back, -1 - bundle[0])
        return
    steps = [code[k] for k in bundle]
    first = steps[0]
    match first:
        case Stage() if first.depthwise is not None:
            _depthwise(back, [s for s in steps if isinstance(s, Stage)])
        case Stage():
            dense(back, first)
        case Pool():
            _pool(back, first)
        case Sum():
            _sum(back, first)
        case Gather():
            _gather(back, bundle[0], first)


def _again(back: Back, k: int) -> None:
    """What backward reads and forward did not keep."""
    one = back.frame.layout.plan.code[k]
    if not isinstance(one, Pool) or not one.largest:
        step(back.frame, (k,), {})
        return
    small = torch.int8 if one.kernel**2 < 128 else torch.int32
    channels = back.frame.layout.region.maps[one.out].channels
    back.winners[one.out] = back.frame.empty(back.frame.count(one.out), channels, dtype=small)
    pooled(back.frame, one, {}, back.winners[one.out])


# ---- steps


def _depthwise(back: Back, stages: Sequence[Stage]) -> None:
    frame = back.frame
    parts = [s.depthwise for s in stages if s.depthwise is not None]
    source = frame.layout.region.heads[stages[0].source]
    down = back.wanted.head(frame.layout.region, source)
    made = None
    if any(back.asks(p, "weight") for s in stages for p in s.pieces):
        # What stood between the convolutions is computed anew.
        inner = [s for s in stages if s.pieces]
        made = dict(zip((s.out for s in inner), convolved(frame, inner, {}), strict=True))
    deeper = down or any(back.asks(p, name) for p in parts for name in ("weight", "bias"))
    gs = []
    for stage, part in zip(stages, parts, strict=True):
        g = back.gradient(stage.out)
        for piece in stage.pieces:
            back.bias(piece, g)
            if back.asks(piece, "weight"):
                assert made is not None
                back.give(piece, "weight", g.t() @ made[stage.out])
            if deeper:
                g = g @ filters(frame, piece).flatten(1)
        back.bias(part, g)
        gs.append(g)
    if not deeper:
        return
    arguments, constants = frame.reading(stages[0].source)
    channels = frame.layout.region.maps[source.map].channels
    shared = {**arguments, "gs": tuple(gs), **space(frame, source.map, stages[0].out)}
    shapes = tuple((p.kernel, p.dilation, p.pad) for p in parts)
    how = {**constants, "SHAPES": shapes, "STRIDE": parts[0].stride}
    if any(back.asks(p, "weight") for p in parts):
        count, taps = gs[0].shape[0], sum(p.kernel**2 for p in parts)
        found = frame.empty(tiles(count), taps, channels)
        frame.tiled(
            deep.depthwise_weights, (count, channels), {**shared, "to": found, "taps": taps}, how
        )
        total, first = found.sum(0, dtype=torch.float64), 0
        for part in parts:
            if back.asks(part, "weight"):
                back.give(part, "weight", total[first : first + part.kernel**2].t())
            first += part.kernel**2
    if down:
        to, fresh = back.target(stages[0].source)
        found = back.sums_of(stages[0].source)
        frame.tiled(
            deep.depthwise_data,
            to.shape,
            {**shared, "weights": tuple(filters(frame, p) for p in parts), "to": to, "sums": found},
            {**how, "FIRST": fresh},
        )
        back.settled(stages[0].source, found)


def _pool(back: Back, one: Pool) -> None:
    frame = back.frame
    source = frame.layout.region.heads[one.source]
    if not back.wanted.head(frame.layout.region, source):
        return
    g = back.gradient(one.out)
    arguments, constants = frame.reading(one.source)
    to, fresh = back.target(one.source)
    found = back.sums_of(one.source)
    frame.tiled(
        pool.pool_back,
        to.shape,
        {
            **arguments,
            "g": g,
            "winners": back.winners.pop(one.out) if one.largest else g,
            "to": to,
            "sums": found,
            **space(frame, source.map, one.out),
        },
        {**constants, **pooling(one), "FIRST": fresh},
    )
    back.settled(one.source, found)


def _sum(back: Back, one: Sum) -> None:
    if not one.terms:
        return
    frame = back.frame
    g = back.of_map(one.out)
    arguments, kinds = terms(frame, one)
    tos: list[Tensor] = []
    modes, again, met = [], [], set()
    for t in one.terms:
        index = frame.layout.region.heads[t].map
        if index in frame.layout.layers or index not in back.wanted.maps:
            tos.append(g)
            modes.append(0)
            continue
        to, fresh = back.room(index)
        if index in met:
            # One launch does not add to a state twice.
            again.append((to, frame.like(index)))
            to, fresh = again[-1][1], True
        met.add(index)
        tos.append(to)
        modes.append(1 if fresh else 2)
    found = frame.empty(tiles(g.shape[0]), 3, len(one.terms), g.shape[1])
    frame.tiled(
        sums.weighted_sum_back,
        g.shape,
        {**arguments, "g": g, "tos": tuple(tos), "sums": found},
        {"TERMS": tuple((*kind, mode) for kind, mode in zip(kinds, modes, strict=True))},
    )
    for to, more in again:
        to.add_(more)
    back.settle(one.terms, found, weighed=True)


def _gather(back: Back, k: int, one: Gather) -> None:
    g = back.of_map(one.out)
    order = back.frame.tables.orders.get(k)
    if order is not None:
        source = one.runs[0].map
        assert source is not None
        _add(back, source, 0, g.index_select(1, order[1]))
        return
    for run in one.runs:
        if run.map is not None and run.map in back.wanted.maps:
            _add(back, run.map, run.start, g[:, run.to : run.to + run.n])


def _add(back: Back, index: int, start: int, g: Tensor) -> None:
    """Adds to some channels of the gradient of a state."""
    to, fresh = back.room(index)
    whole = g.shape[1] == to.shape[1]
    if fresh and not whole:
        to.zero_()
    part = to[:, start : start + g.shape[1]]
    if fresh and whole:
        part.copy_(g)
    else:
        part.add_(g)
