"""A pointwise convolution: a product of matrices that reads a head and keeps moments."""

import triton
import triton.language as tl

from nasdsl.kernels.device.head import read
from nasdsl.kernels.device.moments import keep_moments


@triton.jit
def pointwise(
    x, ld, norm, stride, weight, bias, y, ldy, moments, width, P, CIN, COUT, H, W, OH, OW, OFFSET,
    STRIDE: tl.constexpr, NORMED: tl.constexpr, ACT: tl.constexpr, SLOPE: tl.constexpr,
    BIAS: tl.constexpr, MOMENTS: tl.constexpr,
    BP: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """`y (P, COUT)`: the head under `weight (COUT, CIN)`, every STRIDE-th position from OFFSET on.

    Positions beside the image are zero.
    """
    rows = tl.program_id(0) * BP + tl.arange(0, BP)
    cols = tl.program_id(1) * BN + tl.arange(0, BN)
    live, on = rows < P, cols < COUT
    i = rows // OW % OH * STRIDE + OFFSET
    j = rows % OW * STRIDE + OFFSET
    inside = live & (i >= 0) & (i < H) & (j >= 0) & (j < W)
    position = (rows // (OH * OW) * H + i) * W + j
    acc = tl.zeros((BP, BN), dtype=x.dtype.element_ty)
    for k in range(0, CIN, BK):
        deep = k + tl.arange(0, BK)
        there = deep < CIN
        v = read(x, ld, norm, stride, position, deep, inside, there, NORMED, ACT, SLOPE)
        at = weight + cols[None, :] * CIN + deep[:, None]
        w = tl.load(at, mask=on[None, :] & there[:, None], other=0)
        # Full precision: a product in TF32 is another function.
        acc = tl.dot(v, w, acc, input_precision="ieee", out_dtype=acc.dtype)
    if BIAS:
        acc += tl.load(bias + cols, mask=on, other=0)[None, :]
    at = y + rows.to(tl.int64)[:, None] * ldy + cols[None, :]
    tl.store(at, acc, mask=live[:, None] & on[None, :])
    if MOMENTS:
        count = tl.minimum(P - tl.program_id(0) * BP, BP)
        keep_moments(acc, live, count, moments, cols, on, width)
