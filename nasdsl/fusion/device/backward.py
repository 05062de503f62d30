"""The backward pass of a call: what forward did in reverse, on the same schedule.

Gradients of states and inputs are added up as their readers are gone through. What stages and pools
make has none of its own: it is put together from the gradients of its heads when it is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nasdsl.fusion.device.frame import Frame, images, ld, rows
from nasdsl.fusion.device.layout import simple
from nasdsl.fusion.device.steps import (
    convolved,
    filters,
    pooled,
    pooling,
    read,
    space,
    step,
    terms,
    window,
)
from nasdsl.fusion.device.wanted import Wanted
from nasdsl.fusion.generated.region import ACTS, Depthwise, Gather, Piece, Pool, Stage, Sum
from nasdsl.kernels.device import depthwise as deep
from nasdsl.kernels.device import gradient, head, pool, sums
from nasdsl.kernels.device.launch import Launch, tiles


@dataclass(slots=True, kw_only=True)
class Back:
    """Gradients on their way: of maps, of heads, of parameters."""

    frame: Frame
    wanted: Wanted
    #: By slots: the factors of gradients, and gradients by scale and shift.
    factors: Tensor
    own: Tensor
    #: Of the weights of terms, in double.
    of_weights: Tensor
    maps: dict[int, Tensor] = field(default_factory=dict)
    heads: dict[int, Tensor] = field(default_factory=dict)
    winners: dict[int, Tensor] = field(default_factory=dict)
    parameters: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    # ---- between maps and heads

    def of_map(self, index: int) -> Tensor:
        """The gradient of a state that leaves no more to be added; zero where nothing was."""
        if index not in self.maps:
            self.maps[index] = self.frame.like(index).zero_()
        return self.maps[index]

    def room(self, index: int) -> tuple[Tensor, bool]:
        """Where to add to the gradient of a state, and whether nothing has been yet."""
        fresh = index not in self.maps
        if fresh:
            self.maps[index] = self.frame.like(index)
        return self.maps[index], fresh

    def target(self, source: int) -> tuple[Tensor, bool]:
        """Where the gradient of what a stage or pool reads goes: to the state, else to the head."""
        one = self.frame.layout.region.heads[source]
        if one.map in self.frame.layout.layers:
            self.heads[source] = self.frame.like(one.map)
            return self.heads[source], True
        return self.room(one.map)

    def sums_of(self, source: int) -> Tensor:
        """Room for the sums that the normalisation of a head needs."""
        one = self.frame.layout.region.heads[source]
        if one.norm is None:
            return self.frame.values[one.map]
        channels = self.frame.layout.region.maps[one.map].channels
        return self.frame.empty(tiles(self.frame.count(one.map)), 3, channels)

    def settled(self, source: int, found: Tensor) -> None:
        """The factors of a head of a stage, once its sums are there."""
        if self.frame.layout.region.heads[source].norm is not None:
            self.settle((source,), found, weighed=False)

    def settle(self, heads: Sequence[int], found: Tensor, *, weighed: bool) -> None:
        frame = self.frame
        made = frame.layout
        count = frame.count(made.region.heads[heads[0]].map)
        gamma, beta = frame.affine or (frame.norm, frame.norm)
        frame.launch(
            Launch(
                kernel=gradient.settle_gradient,
                grid=(len(heads),),
                arguments={
                    "sums": found,
                    "tiles": tiles(count),
                    "facts": frame.tables.facts,
                    "first": made.slot_number[heads[0]],
                    "statistics": frame.statistics,
                    "gamma": gamma,
                    "beta": beta,
                    "eps": frame.tables.eps,
                    "weights": frame.weights,
                    "total": made.normed,
                    "factors": self.factors,
                    "own": self.own,
                    "at": made.slot_at[heads[0]],
                    "slots": made.slotted,
                    "of_weights": self.of_weights,
                    "P": count,
                    "C": made.channels(heads[0]),
                },
                constants={
                    "AFFINE": frame.affine is not None,
                    "WEIGHED": weighed,
                    "BT": 32,
                    "BC": 32,
                },
            )
        )

    def gradient(self, index: int) -> Tensor:
        """The gradient of what a stage or pool has made, by way of all its heads."""
        frame = self.frame
        total, summed = None, frame.layout.summed
        for k in frame.layout.heads_on.get(index, ()):
            one = frame.layout.region.heads[k]
            g = self.of_map(summed[k]) if k in summed else self.heads.pop(k)
            slot = frame.layout.slot_at.get(k)
            if slot is None:
                total = g if total is None else total.add_(g)
                continue
            fresh = total is None
            total = frame.like(index) if total is None else total
            x = frame.values[index]
            # The gradient of a head that a stage reads stands in front of the activation.
            active = k in summed and one.act != "none"
            frame.tiled(
                gradient.map_gradient,
                total.shape,
                {
                    "g": g,
                    "x": x,
                    "ld": ld(x),
                    "norm": frame.norm_of(k),
                    "stride": frame.layout.normed,
                    "factors": self.factors.view(-1)[slot:],
                    "slots": frame.layout.slotted,
                    "to": total,
                },
                {
                    "NORMED": one.norm is not None,
                    "ACT": ACTS[one.act] if active else 0,
                    "SLOPE": one.slope if active else 0.0,
                    "FIRST": fresh,
                },
            )
        return frame.like(index).zero_() if total is None else total

    def give(self, part: Depthwise | Piece, name: str, found: Tensor) -> None:
        """The gradient of a parameter, added to what other stages have given."""
        key = (part.path, name)
        found = found.to(self.frame.dtype).reshape(self.frame.parameters[key].shape)
        self.parameters[key] = self.parameters[key] + found if key in self.parameters else found

    def asks(self, part: Depthwise | Piece, name: str) -> bool:
        return (part.path, name) in self.wanted.parameters

    def bias(self, part: Depthwise | Piece, g: Tensor) -> None:
        if part.bias and self.asks(part, "bias"):
            self.give(part, "bias", g.sum(0, dtype=torch.float64))


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
            _dense(back, first)
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
    shape = back.frame.like(one.out).shape
    back.winners[one.out] = back.frame.empty(*shape, dtype=small)
    pooled(back.frame, one, {}, back.winners[one.out])


# ---- convolutions


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
    gs = []
    for stage, part in zip(stages, parts, strict=True):
        g = back.gradient(stage.out)
        for piece in stage.pieces:
            back.bias(piece, g)
            if back.asks(piece, "weight"):
                assert made is not None
                back.give(piece, "weight", g.t() @ made[stage.out])
            g = g @ filters(frame, piece).flatten(1)
        back.bias(part, g)
        gs.append(g)
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


def _dense(back: Back, stage: Stage) -> None:
    frame = back.frame
    source = frame.layout.region.heads[stage.source]
    down = back.wanted.head(frame.layout.region, source)
    g = back.gradient(stage.out)
    x = None
    if any(back.asks(p, "weight") for p in stage.pieces):
        x = images(read(frame, stage.source), frame.n, frame.layout.extents[source.map])
    through = None
    for piece in stage.pieces:
        part = g[:, piece.first : piece.last]
        back.bias(piece, part)
        if piece.kernel == 1:
            dx = _pointwise(back, stage, piece, part, x, down=down)
        else:
            dx = _window(back, stage, piece, part, x, down=down)
        if dx is not None:
            through = dx if through is None else through.add_(dx)
    if through is not None:
        _sink(back, stage.source, through)


def _sink(back: Back, source: int, through: Tensor) -> None:
    """A gradient of what a head yields, through the head."""
    frame = back.frame
    arguments, constants = frame.reading(source)
    one = frame.layout.region.heads[source]
    if simple(one) and one.map not in back.maps:
        to, _ = back.target(source)
        to.copy_(through)
        return
    to, fresh = back.target(source)
    found = back.sums_of(source)
    frame.tiled(
        head.sink_head,
        to.shape,
        {**arguments, "g": through.contiguous(), "to": to, "sums": found},
        {**constants, "FIRST": fresh},
    )
    back.settled(source, found)


def _pointwise(
    back: Back, stage: Stage, piece: Piece, g: Tensor, x: Tensor | None, *, down: bool
) -> Tensor | None:
    """Gradients of a piece whose window is one position, by products of the library."""
    frame = back.frame
    source = frame.layout.region.heads[stage.source].map
    extent = frame.layout.extents[source]
    made = g.unflatten(0, (frame.n, *frame.layout.extents[stage.out]))
    # The outputs whose window stands on the image, and where.
    spans = [
        _standing(n, piece.stride, p, m)
        for n, p, m in zip(extent, piece.pad, made.shape[1:3], strict=True)
    ]
    (tall, rows_), (broad, cols) = spans
    made = made[:, tall, broad].flatten(0, 2)
    if back.asks(piece, "weight"):
        assert x is not None
        seen = x.permute(0, 2, 3, 1)[:, rows_, cols].flatten(0, 2)
        back.give(piece, "weight", made.t() @ seen)
    if not down:
        return None
    dx = made @ filters(frame, piece).flatten(1)
    if piece.stride == 1 and piece.pad == (0, 0):
        return dx
    whole = frame.zeros(frame.n, *extent, dx.shape[1])
    part = whole[:, rows_, cols]
    part.copy_(dx.view(part.shape))
    return whole.flatten(0, 2)


def _standing(extent: int, stride: int, pad: int, made: int) -> tuple[slice, slice]:
    """Along an axis, the outputs that read the image and the positions they read."""
    first = max(0, -(-pad // stride))
    last = min(made - 1, (extent - 1 + pad) // stride)
    begin = first * stride - pad
    return slice(first, last + 1), slice(begin, last * stride - pad + 1, stride)


def _window(
    back: Back, stage: Stage, piece: Piece, g: Tensor, x: Tensor | None, *, down: bool
) -> Tensor | None:
    """Gradients of a dense convolution by the library."""
    frame = back.frame
    source = frame.layout.region.heads[stage.source].map
    weighed = back.asks(piece, "weight")
    if not weighed and not down:
        return None
    weight = frame.parameters[(piece.path, "weight")]
    if x is None:
        # Its values are not read for this gradient, its extent is.
        x = images(frame.values[source], frame.n, frame.layout.extents[source])
    dx, dw, _ = torch.ops.aten.convolution_backward(
        images(g, frame.n, frame.layout.extents[stage.out]),
        x, weight, None, *window(piece), False, [0, 0], 1, [down, weighed, False],
    )  # fmt: skip
    if weighed:
        back.give(piece, "weight", dw)
    return rows(dx) if down else None


# ---- pools, sums, gathers


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
