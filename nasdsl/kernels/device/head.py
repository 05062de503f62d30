"""What a consumer reads of a map: normalised, activated; and the way back through it.

A normalisation is three vectors of `stride` numbers: centre, scale, shift. The centre is taken off
first, which is exact where it counts: a mean far from zero costs nothing.
"""

import triton
import triton.language as tl


@triton.jit
def activate(u, ACT: tl.constexpr, SLOPE: tl.constexpr):
    """An activation by its number in `ACTS`; a rectifier hands NaN on."""
    if ACT == 1:
        u = tl.where(u <= 0, 0.0, u)
    elif ACT == 3:
        u = tl.where(u > 0, u, u * SLOPE)
    elif ACT == 4:
        t = u + 3
        t = tl.where(t < 0, 0.0, t)
        t = tl.where(t > 6, 6.0, t)
        u = u * t / 6
    elif ACT == 5:
        u = u / (1 + tl.exp(-u))
    elif ACT == 6:
        u = tanh(u)
    elif ACT == 7:
        u = u * 0.5 * (1 + tl.erf(u * 0.70710678118654752440))
    return u


@triton.jit
def tanh(u):
    """Near zero by its series: the other form loses what is small."""
    e = tl.exp(-2 * tl.abs(u))
    far = (1 - e) / (1 + e)
    q = u * u
    near = u * (1 + q * (-1.0 / 3 + q * (2.0 / 15 + q * (-17.0 / 315))))
    return tl.where(tl.abs(u) < 0.03, near, tl.where(u < 0, -far, far))


@triton.jit
def behind(g, u, ACT: tl.constexpr, SLOPE: tl.constexpr):
    """The gradient `g` behind an activation, taken in front of it; `u` is what it was applied to."""
    if ACT == 1:
        g = tl.where(u <= 0, 0.0, g)
    elif ACT == 3:
        g = tl.where(u > 0, g, g * SLOPE)
    elif ACT == 4:
        low = tl.where(u <= -3, 0.0, g * (u / 3 + 0.5))
        g = tl.where(u >= 3, g, low)
    elif ACT == 5:
        s = 1 / (1 + tl.exp(-u))
        g = g * (s * (1 + u * (1 - s)))
    elif ACT == 6:
        t = tanh(u)
        g = g * (1 - t * t)
    elif ACT == 7:
        c = 0.5 * (1 + tl.erf(u * 0.70710678118654752440))
        g = g * (c + u * tl.exp(-0.5 * u * u) * 0.39894228040143267794)
    return g


@triton.jit
def normalise(v, norm, stride, cols, on, NORMED: tl.constexpr):
    """A tile `(rows, cols)` of a map as its normalisation yields it."""
    if NORMED:
        centre = tl.load(norm + cols, mask=on, other=0)
        scale = tl.load(norm + stride + cols, mask=on, other=0)
        shift = tl.load(norm + 2 * stride + cols, mask=on, other=0)
        v = (v - centre[None, :]) * scale[None, :] + shift[None, :]
    return v


@triton.jit
def read(
    x,
    ld,
    norm,
    stride,
    rows,
    cols,
    inside,
    on,
    NORMED: tl.constexpr,
    ACT: tl.constexpr,
    SLOPE: tl.constexpr,
):
    """A tile as its consumer sees it, zero where `inside` says that there is no position."""
    mask = inside[:, None] & on[None, :]
    v = tl.load(x + rows.to(tl.int64)[:, None] * ld + cols[None, :], mask=mask, other=0)
    v = activate(normalise(v, norm, stride, cols, on, NORMED), ACT, SLOPE)
    if NORMED:
        # Activations hand zero on; a normalisation does not.
        v = tl.where(mask, v, 0.0)
    return v


@triton.jit
def sink(
    g,
    x,
    ld,
    norm,
    stride,
    to,
    sums,
    rows,
    cols,
    live,
    on,
    C,
    NORMED: tl.constexpr,
    ACT: tl.constexpr,
    SLOPE: tl.constexpr,
    FIRST: tl.constexpr,
):
    """Takes a tile of a gradient through a head into `to (positions, C)`: added unless FIRST.

    For a normalised head also the sums that the way through its statistics needs, in `sums
    (tiles, 3, C)`: of the gradient, and of its product with the map around its centre.
    """
    mask = live[:, None] & on[None, :]
    if NORMED or ACT != 0:
        v = tl.load(x + rows.to(tl.int64)[:, None] * ld + cols[None, :], mask=mask, other=0)
        g = behind(g, normalise(v, norm, stride, cols, on, NORMED), ACT, SLOPE)
    g = tl.where(mask, g, 0.0)
    at = to + rows.to(tl.int64)[:, None] * C + cols[None, :]
    if FIRST:
        tl.store(at, g, mask=mask)
    else:
        tl.store(at, tl.load(at, mask=mask, other=0) + g, mask=mask)
    if NORMED:
        centre = tl.load(norm + cols, mask=on, other=0)
        tile = sums + tl.program_id(0).to(tl.int64) * 3 * C + cols
        tl.store(tile, tl.sum(g, 0), mask=on)
        tl.store(tile + C, tl.sum(tl.where(mask, g * (v - centre[None, :]), 0.0), 0), mask=on)


@triton.jit
def read_head(
    x, ld, norm, stride, to, P, C,
    NORMED: tl.constexpr, ACT: tl.constexpr, SLOPE: tl.constexpr,
    BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """A whole map as its consumer sees it, into `to (P, C)`: for what a library computes."""
    rows = tl.program_id(0) * BP + tl.arange(0, BP)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    live, on = rows < P, cols < C
    v = read(x, ld, norm, stride, rows, cols, live, on, NORMED, ACT, SLOPE)
    at = to + rows.to(tl.int64)[:, None] * C + cols[None, :]
    tl.store(at, v, mask=live[:, None] & on[None, :])


@triton.jit
def sink_head(
    g, x, ld, norm, stride, to, sums, P, C,
    NORMED: tl.constexpr, ACT: tl.constexpr, SLOPE: tl.constexpr, FIRST: tl.constexpr,
    BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """A whole gradient `g (P, C)` through a head."""
    rows = tl.program_id(0) * BP + tl.arange(0, BP)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    live, on = rows < P, cols < C
    mask = live[:, None] & on[None, :]
    v = tl.load(g + rows.to(tl.int64)[:, None] * C + cols[None, :], mask=mask, other=0)
    sink(v, x, ld, norm, stride, to, sums, rows, cols, live, on, C, NORMED, ACT, SLOPE, FIRST)
