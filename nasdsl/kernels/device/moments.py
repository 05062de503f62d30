"""Mean and variance of maps: tile by tile around the mean of the tile, combined in double."""

import triton
import triton.language as tl


@triton.jit
def keep_moments(y, live, count, to, cols, on, width):
    """Mean and sum of squares around it of a tile, into `to (tiles, 2, width)`, in double."""
    mask = live[:, None]
    about = tl.sum(tl.where(mask, y, 0.0), 0) / count
    d = tl.where(mask, y - about[None, :], 0.0)
    # What rounding has left of the mean: sums around a point near it lose nothing.
    rest = tl.sum(d, 0).to(tl.float64)
    squares = tl.sum(d * d, 0).to(tl.float64) - rest * rest / count
    squares = tl.where(squares < 0, 0.0, squares)
    at = to + tl.program_id(0).to(tl.int64) * 2 * width + cols
    tl.store(at, about.to(tl.float64) + rest / count, mask=on)
    tl.store(at + width, squares, mask=on)


@triton.jit
def moments(y, ld, to, width, P, C, BP: tl.constexpr, BC: tl.constexpr):
    """The moments of the tiles of a map that some library has made."""
    rows = tl.program_id(0) * BP + tl.arange(0, BP)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    live, on = rows < P, cols < C
    mask = live[:, None] & on[None, :]
    v = tl.load(y + rows.to(tl.int64)[:, None] * ld + cols[None, :], mask=mask, other=0)
    count = tl.minimum(P - tl.program_id(0) * BP, BP)
    keep_moments(v, live, count, to, cols, on, width)


@triton.jit
def settle(
    partial, source, width, tiles, P, statistics, gamma, beta, eps, norm, first, count, total,
    BATCH: tl.constexpr, AFFINE: tl.constexpr,
    BP: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Centre, scale and shift of the normalised channels from `first` on.

    With BATCH their mean and variance come from tiles `(tiles, 2, width)`, at column `source` of
    each channel, and go to `statistics (2, total)`; else they are read from there.
    """
    local = tl.program_id(0) * BC + tl.arange(0, BC)
    on = local < count
    at = first + local
    if BATCH:
        column = tl.load(source + at, mask=on, other=0)
        mean = tl.zeros((BC,), dtype=tl.float64)
        for t in range(0, tiles, BT):
            rows = t + tl.arange(0, BT)
            mask = (rows < tiles)[:, None] & on[None, :]
            n = tl.minimum(P - rows * BP, BP).to(tl.float64)
            where = partial + rows.to(tl.int64)[:, None] * 2 * width + column[None, :]
            mean += tl.sum(tl.where(mask, tl.load(where, mask=mask, other=0) * n[:, None], 0.0), 0)
        mean = mean / P
        var = tl.zeros((BC,), dtype=tl.float64)
        for t in range(0, tiles, BT):
            rows = t + tl.arange(0, BT)
            mask = (rows < tiles)[:, None] & on[None, :]
            n = tl.minimum(P - rows * BP, BP).to(tl.float64)
            where = partial + rows.to(tl.int64)[:, None] * 2 * width + column[None, :]
            off = tl.load(where, mask=mask, other=0) - mean[None, :]
            squares = tl.load(where + width, mask=mask, other=0) + off * off * n[:, None]
            var += tl.sum(tl.where(mask, squares, 0.0), 0)
        var = var / P
        tl.store(statistics + at, mean, mask=on)
        tl.store(statistics + total + at, var, mask=on)
    else:
        mean = tl.load(statistics + at, mask=on, other=0)
        var = tl.load(statistics + total + at, mask=on, other=1)
    scale = 1 / tl.sqrt(var + tl.load(eps + at, mask=on, other=1))
    shift = tl.zeros((BC,), dtype=tl.float64)
    if AFFINE:
        scale = scale * tl.load(gamma + at, mask=on, other=1).to(tl.float64)
        shift = tl.load(beta + at, mask=on, other=0).to(tl.float64)
    real = norm.dtype.element_ty
    centre = mean.to(real)
    # What the centre has lost in this precision goes into the shift.
    shift = shift - (mean - centre.to(tl.float64)) * scale
    tl.store(norm + at, centre, mask=on)
    tl.store(norm + total + at, scale.to(real), mask=on)
    tl.store(norm + 2 * total + at, shift.to(real), mask=on)
