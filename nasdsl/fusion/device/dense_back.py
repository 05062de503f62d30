"""The way back through dense convolutions: products and convolutions of the library."""

from __future__ import annotations

import torch
from torch import Tensor

from nasdsl.fusion.device.back import Back
from nasdsl.fusion.device.frame import images, rows
from nasdsl.fusion.device.layout import simple
from nasdsl.fusion.device.steps import filters, read, window
from nasdsl.fusion.generated.region import Piece, Stage
from nasdsl.kernels.device import head


def dense(back: Back, stage: Stage) -> None:
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
