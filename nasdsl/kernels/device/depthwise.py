"""Depthwise convolutions of one head, several at once: a tile of the image is read from memory once.

`SHAPES` has kernel, dilation, border, bias and moments for each of them; stride and extents are the
same for all. Taps of a row are unrolled, rows are not: a whole window of each takes a compiler long.
"""

import triton
import triton.language as tl

from nasdsl.kernels.device.head import read, sink
from nasdsl.kernels.device.moments import keep_moments


@triton.jit
def depthwise(
    x, ld, norm, stride, weights, biases, ys, moments, width, P, C, H, W, OH, OW,
    SHAPES: tl.constexpr, STRIDE: tl.constexpr,
    NORMED: tl.constexpr, ACT: tl.constexpr, SLOPE: tl.constexpr,
    BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """`ys[k] (P, C)`: the head under `weights[k] (C, kernel, kernel)`."""
    rows = tl.program_id(0) * BP + tl.arange(0, BP)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    live, on = rows < P, cols < C
    image = rows // (OH * OW)
    top = rows // OW % OH * STRIDE
    left = rows % OW * STRIDE
    at = rows.to(tl.int64)[:, None] * C + cols[None, :]
    for k in tl.static_range(len(SHAPES)):
        acc = tl.zeros((BP, BC), dtype=x.dtype.element_ty)
        if SHAPES[k][3]:
            acc += tl.load(biases[k] + cols, mask=on, other=0)[None, :]
        for r in range(SHAPES[k][0]):
            i = top + r * SHAPES[k][1] - SHAPES[k][2]
            within = live & (i >= 0) & (i < H)
            for t in tl.static_range(SHAPES[k][0]):
                j = left + t * SHAPES[k][1] - SHAPES[k][2]
                inside = within & (j >= 0) & (j < W)
                position = (image * H + i) * W + j
                v = read(x, ld, norm, stride, position, cols, inside, on, NORMED, ACT, SLOPE)
                tap = cols * (SHAPES[k][0] * SHAPES[k][0]) + r * SHAPES[k][0] + t
                acc += v * tl.load(weights[k] + tap, mask=on, other=0)[None, :]
        tl.store(ys[k] + at, acc, mask=live[:, None] & on[None, :])
        if SHAPES[k][4]:
            count = tl.minimum(P - tl.program_id(0) * BP, BP)
            keep_moments(acc, live, count, moments[k], cols, on, width)


@triton.jit
def depthwise_data(
    x, ld, norm, stride, weights, gs, to, sums, P, C, H, W, OH, OW,
    SHAPES: tl.constexpr, STRIDE: tl.constexpr,
    NORMED: tl.constexpr, ACT: tl.constexpr, SLOPE: tl.constexpr, FIRST: tl.constexpr,
    BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """The gradient of the head from all of `gs[k]`, through it into `to (P, C)`."""
    rows = tl.program_id(0) * BP + tl.arange(0, BP)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    live, on = rows < P, cols < C
    image = rows // (H * W)
    i = rows // W % H
    j = rows % W
    acc = tl.zeros((BP, BC), dtype=to.dtype.element_ty)
    for k in tl.static_range(len(SHAPES)):
        for r in range(SHAPES[k][0]):
            up = i + SHAPES[k][2] - r * SHAPES[k][1]
            within = live & (up >= 0) & (up % STRIDE == 0) & (up // STRIDE < OH)
            for t in tl.static_range(SHAPES[k][0]):
                back = j + SHAPES[k][2] - t * SHAPES[k][1]
                inside = within & (back >= 0) & (back % STRIDE == 0) & (back // STRIDE < OW)
                position = ((image * OH + up // STRIDE) * OW + back // STRIDE).to(tl.int64)
                mask = inside[:, None] & on[None, :]
                g = tl.load(gs[k] + position[:, None] * C + cols[None, :], mask=mask, other=0)
                tap = cols * (SHAPES[k][0] * SHAPES[k][0]) + r * SHAPES[k][0] + t
                w = tl.load(weights[k] + tap, mask=on, other=0)
                # A tap beside the image adds nothing, whatever the weight.
                acc += tl.where(mask, g * w[None, :], 0.0)
    sink(acc, x, ld, norm, stride, to, sums, rows, cols, live, on, C, NORMED, ACT, SLOPE, FIRST)


@triton.jit
def depthwise_weights(
    x, ld, norm, stride, gs, to, taps, P, C, H, W, OH, OW,
    SHAPES: tl.constexpr, STRIDE: tl.constexpr,
    NORMED: tl.constexpr, ACT: tl.constexpr, SLOPE: tl.constexpr,
    BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Sums over each tile for every tap of all the convolutions, into `to (tiles, taps, C)`."""
    rows = tl.program_id(0) * BP + tl.arange(0, BP)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    live, on = rows < P, cols < C
    image = rows // (OH * OW)
    top = rows // OW % OH * STRIDE
    left = rows % OW * STRIDE
    at = rows.to(tl.int64)[:, None] * C + cols[None, :]
    out = to + tl.program_id(0).to(tl.int64) * taps * C + cols
    for k in tl.static_range(len(SHAPES)):
        g = tl.load(gs[k] + at, mask=live[:, None] & on[None, :], other=0)
        for r in range(SHAPES[k][0]):
            i = top + r * SHAPES[k][1] - SHAPES[k][2]
            within = live & (i >= 0) & (i < H)
            for t in tl.static_range(SHAPES[k][0]):
                j = left + t * SHAPES[k][1] - SHAPES[k][2]
                inside = within & (j >= 0) & (j < W)
                position = (image * H + i) * W + j
                v = read(x, ld, norm, stride, position, cols, inside, on, NORMED, ACT, SLOPE)
                tl.store(out + (r * SHAPES[k][0] + t) * C, tl.sum(g * v, 0), mask=on)
        out += SHAPES[k][0] * SHAPES[k][0] * C
