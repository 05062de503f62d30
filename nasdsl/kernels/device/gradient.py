"""Gradients through normalisations: what all positions have to say, then position by position."""

import triton
import triton.language as tl

from nasdsl.kernels.device.head import behind, normalise


@triton.jit
def settle_gradient(
    sums, tiles, facts, first, statistics, gamma, beta, eps, weights, total,
    factors, own, at, slots, of_weights, P, C,
    AFFINE: tl.constexpr, WEIGHED: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """From sums over tiles `(tiles, 3, terms, C)`, for each term of one sum, or for one head.

    A term is a slot with `facts`: where its normalisation begins or -1, whether that has the
    moments of the batch, and whether an activation follows. Its channels begin at `at`. Into
    `factors (3, slots)`: the gradient of a map is `factors[0] g + factors[1] x + factors[2]`, `x`
    around the centre; into `own (2, slots)` the gradients by scale and shift; and that of the
    weight of the term into `of_weights`. (Ioffe, Szegedy: Batch normalization, 2015.)
    """
    k = tl.program_id(0)
    terms = tl.num_programs(0)
    slot = first + k
    norm = tl.load(facts + 3 * slot)
    batch = tl.load(facts + 3 * slot + 1) != 0
    active = tl.load(facts + 3 * slot + 2) != 0
    # Ends, not masks of a single truth: what is spread over a tile has to stay a mask everywhere.
    read = tl.where(active | (norm < 0), tiles, 0)
    normed_to = tl.where(norm >= 0, C, 0)
    weight = tl.full((), 1.0, tl.float64)
    if WEIGHED:
        weight = tl.load(weights + slot)
    real = factors.dtype.element_ty
    row = terms * C
    through = tl.zeros((BC,), dtype=tl.float64)
    for c in range(0, C, BC):
        cols = c + tl.arange(0, BC)
        on = cols < C
        s1 = tl.zeros((BC,), dtype=tl.float64)
        s2 = tl.zeros((BC,), dtype=tl.float64)
        s3 = tl.zeros((BC,), dtype=tl.float64)
        for t in range(0, tiles, BT):
            rows = t + tl.arange(0, BT)
            mask = (rows < tiles)[:, None] & on[None, :]
            where = sums + rows.to(tl.int64)[:, None] * 3 * row + k * C + cols[None, :]
            s1 += tl.sum(tl.load(where, mask=mask, other=0).to(tl.float64), 0)
            s2 += tl.sum(tl.load(where + row, mask=mask, other=0).to(tl.float64), 0)
            if WEIGHED:
                product = (rows < read)[:, None] & on[None, :]
                s3 += tl.sum(tl.load(where + 2 * row, mask=product, other=0).to(tl.float64), 0)
        normed = cols < normed_to
        mean = tl.load(statistics + norm + cols, mask=normed, other=0)
        var = tl.load(statistics + total + norm + cols, mask=normed, other=1)
        inverse = 1 / tl.sqrt(var + tl.load(eps + norm + cols, mask=normed, other=0))
        scale = inverse
        shift = tl.zeros((BC,), dtype=tl.float64)
        if AFFINE:
            scale = scale * tl.load(gamma + norm + cols, mask=normed, other=1).to(tl.float64)
            shift = tl.load(beta + norm + cols, mask=normed, other=0).to(tl.float64)
        # The sum was taken around the mean as a number of this precision.
        centre = mean.to(real).to(tl.float64)
        s2 = tl.where(normed, s2 - s1 * (mean - centre), s2)
        plain = tl.where(normed, scale * s2 + shift * s1, 0.0)
        through += tl.where(active | (norm < 0), s3, plain)
        k_grad = weight * scale
        k_value = tl.where(normed & batch, -k_grad * inverse * inverse * s2 / P, 0.0)
        k_one = tl.where(normed & batch, -k_grad * s1 / P - k_value * (mean - centre), 0.0)
        to = at + k * C + cols
        tl.store(factors + to, k_grad.to(real), mask=on)
        tl.store(factors + slots + to, k_value.to(real), mask=on)
        tl.store(factors + 2 * slots + to, k_one.to(real), mask=on)
        tl.store(own + to, (weight * inverse * s2).to(real), mask=on)
        tl.store(own + slots + to, (weight * s1).to(real), mask=on)
    if WEIGHED:
        tl.store(of_weights + slot, tl.sum(through, 0))


@triton.jit
def map_gradient(
    g, x, ld, norm, stride, factors, slots, to, P, C,
    NORMED: tl.constexpr, ACT: tl.constexpr, SLOPE: tl.constexpr, FIRST: tl.constexpr,
    BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """The gradient of a map by way of one head, into `to (P, C)`: added unless FIRST."""
    rows = tl.program_id(0) * BP + tl.arange(0, BP)
    cols = tl.program_id(1) * BC + tl.arange(0, BC)
    live, on = rows < P, cols < C
    mask = live[:, None] & on[None, :]
    at = rows.to(tl.int64)[:, None] * C + cols[None, :]
    e = tl.load(g + at, mask=mask, other=0)
    if NORMED or ACT != 0:
        v = tl.load(x + rows.to(tl.int64)[:, None] * ld + cols[None, :], mask=mask, other=0)
        e = behind(e, normalise(v, norm, stride, cols, on, NORMED), ACT, SLOPE)
    e = e * tl.load(factors + cols, mask=on, other=0)[None, :]
    if NORMED:
        v = v - tl.load(norm + cols, mask=on, other=0)[None, :]
        e += v * tl.load(factors + slots + cols, mask=on, other=0)[None, :]
        e += tl.load(factors + 2 * slots + cols, mask=on, other=0)[None, :]
    if not FIRST:
        e += tl.load(to + at, mask=mask, other=0)
    tl.store(to + at, e, mask=mask)
