"""Depthwise convolutions of one head, several at once: a tile of the image is read from memory once.

`SHAPES` has kernel, dilation, border, bias and moments for each of them; stride and extents are the
same for all.
"""

# ruff: noqa: N803
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
        for t in tl.static_range(SHAPES[k][0] * SHAPES[k][0]):
            i = top + (t // SHAPES[k][0]) * SHAPES[k][1] - SHAPES[k][2]
            j = left + (t % SHAPES[k][0]) * SHAPES[k][1] - SHAPES[k][2]
            inside = live & (i >= 0) & (i < H) & (j >= 0) & (j < W)
            position = (image * H + i) * W + j
            v = read(x, ld, norm, stride, position, cols, inside, on, NORMED, ACT, SLOPE)
            w = tl.load(weights[k] + cols * (SHAPES[k][0] * SHAPES[k][0]) + t, mask=on, other=0)
            acc += v * w[None, :]
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
        for t in tl.static_range(SHAPES[k][0] * SHAPES[k][0]):
            up = i + SHAPES[k][2] - (t // SHAPES[k][0]) * SHAPES[k][1]
            back = j + SHAPES[k][2] - (t % SHAPES[k][0]) * SHAPES[k][1]
            inside = live & (up >= 0) & (back >= 0) & (up % STRIDE == 0) & (back % STRIDE == 0)
            up = up // STRIDE
            back = back // STRIDE
            inside = inside & (up < OH) & (back < OW)
            position = ((image * OH + up) * OW + back).to(tl.int64)
            mask = inside[:, None] & on[None, :]
            g = tl.load(gs[k] + position[:, None] * C + cols[None, :], mask=mask, other=0)
            w = tl.load(weights[k] + cols * (SHAPES[k][0] * SHAPES[k][0]) + t, mask=on, other=0)
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
        for t in tl.static_range(SHAPES[k][0] * SHAPES[k][0]):
            i = top + (t // SHAPES[k][0]) * SHAPES[k][1] - SHAPES[k][2]
            j = left + (t % SHAPES[k][0]) * SHAPES[k][1] - SHAPES[k][2]
            inside = live & (i >= 0) & (i < H) & (j >= 0) & (j < W)
            position = (image * H + i) * W + j
            v = read(x, ld, norm, stride, position, cols, inside, on, NORMED, ACT, SLOPE)
            tl.store(out, tl.sum(g * v, 0), mask=on)
            out += C
