"""Weighted sums of heads, and their way back: all terms in one pass.

`TERMS` has for each whether it is normalised, its activation and slope, and what becomes of its
gradient: 0 nothing here, 1 written to `tos[k]`, 2 added to it.
"""

import triton
import triton.language as tl

from nasdsl.kernels.device.head import activate, behind, normalise, read


@triton.jit
def weighted_sum(
    xs, lds, norms, stride, weights, first, y, ldy, P, C,
    TERMS: tl.constexpr, ADDS: tl.constexpr,
    BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """`y (P, C)`: the sum of `weights[first + k]` times head `k`; with ADDS on top of `y`."""
    rows = tl.program_id(0) * BP + tl.arange(0, BP)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    live, on = rows < P, cols < C
    mask = live[:, None] & on[None, :]
    at = y + rows.to(tl.int64)[:, None] * ldy + cols[None, :]
    acc = tl.zeros((BP, BC), dtype=y.dtype.element_ty)
    if ADDS:
        acc += tl.load(at, mask=mask, other=0)
    for k in tl.static_range(len(TERMS)):
        v = read(
            xs[k], lds[k], norms[k], stride, rows, cols, live, on,
            TERMS[k][0], TERMS[k][1], TERMS[k][2],
        )  # fmt: skip
        acc += v * tl.load(weights + first + k).to(acc.dtype)
    tl.store(at, acc, mask=mask)


@triton.jit
def weighted_sum_back(
    g, xs, lds, norms, stride, weights, first, tos, sums, P, C,
    TERMS: tl.constexpr, BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """For every term the sums over each tile, into `sums (tiles, 3, terms, C)`.

    They are of the gradient in front of the activation, of its product with the map around its
    centre, and of the product of gradient and head. Terms that are states get their gradient.
    """
    rows = tl.program_id(0) * BP + tl.arange(0, BP)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    live, on = rows < P, cols < C
    mask = live[:, None] & on[None, :]
    at = rows.to(tl.int64)[:, None] * C + cols[None, :]
    whole = tl.load(g + at, mask=mask, other=0)
    row = len(TERMS) * C
    out = sums + tl.program_id(0).to(tl.int64) * 3 * row + cols
    for k in tl.static_range(len(TERMS)):
        v = tl.load(xs[k] + rows.to(tl.int64)[:, None] * lds[k] + cols[None, :], mask=mask, other=0)
        u = normalise(v, norms[k], stride, cols, on, TERMS[k][0])
        e = behind(whole, u, TERMS[k][1], TERMS[k][2])
        if TERMS[k][0]:
            v = v - tl.load(norms[k] + cols, mask=on, other=0)[None, :]
        tl.store(out, tl.sum(e, 0), mask=on)
        tl.store(out + row, tl.sum(tl.where(mask, e * v, 0.0), 0), mask=on)
        if TERMS[k][1] != 0 or not TERMS[k][0]:
            value = whole * activate(u, TERMS[k][1], TERMS[k][2])
            tl.store(out + 2 * row, tl.sum(tl.where(mask, value, 0.0), 0), mask=on)
        if TERMS[k][3] != 0:
            d = e * tl.load(weights + first + k).to(e.dtype)
            if TERMS[k][3] == 2:
                d += tl.load(tos[k] + at, mask=mask, other=0)
            tl.store(tos[k] + at, d, mask=mask)
        out += C
