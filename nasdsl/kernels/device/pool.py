"""Maxima and means over windows, and the way back."""

import triton
import triton.language as tl

from nasdsl.kernels.device.head import read, sink
from nasdsl.kernels.device.moments import keep_moments


@triton.jit
def counted(i, extent, KERNEL: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr,
            INCLUDE: tl.constexpr):  # fmt: skip
    """How many positions of a window along one axis count."""
    first = i * STRIDE - PAD
    n = tl.minimum(first + KERNEL, extent) - tl.maximum(first, 0)
    if INCLUDE:
        n = n * 0 + KERNEL
    return n


@triton.jit
def pool(
    x, ld, norm, stride, y, winners, moments, width, P, C, H, W, OH, OW,
    LARGEST: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr,
    INCLUDE: tl.constexpr, NORMED: tl.constexpr, ACT: tl.constexpr, SLOPE: tl.constexpr,
    WINNERS: tl.constexpr, MOMENTS: tl.constexpr,
    BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """`y (P, C)`; with WINNERS also the place in its window of every maximum."""
    rows = tl.program_id(0) * BP + tl.arange(0, BP)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    live, on = rows < P, cols < C
    image = rows // (OH * OW)
    oi = rows // OW % OH
    oj = rows % OW
    acc = tl.zeros((BP, BC), dtype=x.dtype.element_ty)
    # Where nothing is larger than the lowest number, the first position of the image.
    corner = tl.maximum(PAD - oi * STRIDE, 0) * KERNEL + tl.maximum(PAD - oj * STRIDE, 0)
    won = tl.zeros((BP, BC), dtype=tl.int32) + corner[:, None]
    if LARGEST:
        acc += float("-inf")
    for r in range(KERNEL):
        i = oi * STRIDE - PAD + r
        within = live & (i >= 0) & (i < H)
        for t in tl.static_range(KERNEL):
            j = oj * STRIDE - PAD + t
            inside = within & (j >= 0) & (j < W)
            position = (image * H + i) * W + j
            v = read(x, ld, norm, stride, position, cols, inside, on, NORMED, ACT, SLOPE)
            if LARGEST:
                # The first of equal values wins, a later NaN takes over, as in torch.
                better = inside[:, None] & ((v > acc) | (v != v))
                acc = tl.where(better, v, acc)
                won = tl.where(better, r * KERNEL + t, won)
            else:
                acc += v
    if not LARGEST:
        n = counted(oi, H, KERNEL, STRIDE, PAD, INCLUDE) * counted(
            oj, W, KERNEL, STRIDE, PAD, INCLUDE
        )
        acc = acc / n[:, None].to(acc.dtype)
    mask = live[:, None] & on[None, :]
    at = rows.to(tl.int64)[:, None] * C + cols[None, :]
    tl.store(y + at, acc, mask=mask)
    if WINNERS:
        tl.store(winners + at, won.to(winners.dtype.element_ty), mask=mask)
    if MOMENTS:
        count = tl.minimum(P - tl.program_id(0) * BP, BP)
        keep_moments(acc, live, count, moments, cols, on, width)


@triton.jit
def pool_back(
    x, ld, norm, stride, g, winners, to, sums, P, C, H, W, OH, OW,
    LARGEST: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr,
    INCLUDE: tl.constexpr, NORMED: tl.constexpr, ACT: tl.constexpr, SLOPE: tl.constexpr,
    FIRST: tl.constexpr, BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """The gradient `g` of the windows, through the head into `to (P, C)`."""
    rows = tl.program_id(0) * BP + tl.arange(0, BP)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    live, on = rows < P, cols < C
    image = rows // (H * W)
    acc = tl.zeros((BP, BC), dtype=to.dtype.element_ty)
    for r in range(KERNEL):
        up = rows // W % H + PAD - r
        within = live & (up >= 0) & (up % STRIDE == 0) & (up // STRIDE < OH)
        up = up // STRIDE
        for t in tl.static_range(KERNEL):
            back = rows % W + PAD - t
            inside = within & (back >= 0) & (back % STRIDE == 0) & (back // STRIDE < OW)
            back = back // STRIDE
            position = ((image * OH + up) * OW + back).to(tl.int64)
            mask = inside[:, None] & on[None, :]
            v = tl.load(g + position[:, None] * C + cols[None, :], mask=mask, other=0)
            if LARGEST:
                won = tl.load(winners + position[:, None] * C + cols[None, :], mask=mask, other=-1)
                acc += tl.where(won == r * KERNEL + t, v, 0.0)
            else:
                n = counted(up, H, KERNEL, STRIDE, PAD, INCLUDE) * counted(
                    back, W, KERNEL, STRIDE, PAD, INCLUDE
                )
                n = tl.where(inside, n, 1)
                acc += v / n[:, None].to(acc.dtype)
    sink(acc, x, ld, norm, stride, to, sums, rows, cols, live, on, C, NORMED, ACT, SLOPE, FIRST)
