"""The weights of a sum as products of entries of the mix, and the way back to the entries.

`index (terms, FACTORS)` says which entry each factor is, in all tensors one behind the other; -1
where there is none.
"""

import triton
import triton.language as tl


@triton.jit
def coefficients(
    entries, index, constants, to, count, FACTORS: tl.constexpr, BK: tl.constexpr
):  # fmt: skip
    """`to (count)`, in double."""
    k = tl.program_id(0) * BK + tl.arange(0, BK)
    on = k < count
    value = tl.load(constants + k, mask=on, other=0)
    for f in tl.static_range(FACTORS):
        at = tl.load(index + k * FACTORS + f, mask=on, other=-1)
        value *= tl.load(entries + at, mask=at >= 0, other=1).to(tl.float64)
    tl.store(to + k, value, mask=on)


@triton.jit
def coefficients_back(
    entries, index, constants, g, to, count, size,
    FACTORS: tl.constexpr, BE: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """The gradient by every entry, from that by every weight, in their order."""
    e = tl.program_id(0) * BE + tl.arange(0, BE)
    total = tl.zeros((BE,), dtype=tl.float64)
    for begin in range(0, count, BK):
        k = begin + tl.arange(0, BK)
        on = k < count
        base = tl.load(constants + k, mask=on, other=0) * tl.load(g + k, mask=on, other=0)
        for f in tl.static_range(FACTORS):
            own = tl.load(index + k * FACTORS + f, mask=on, other=-1)
            value = base
            for o in tl.static_range(FACTORS):
                if o != f:
                    at = tl.load(index + k * FACTORS + o, mask=on, other=-1)
                    value *= tl.load(entries + at, mask=at >= 0, other=1).to(tl.float64)
            total += tl.sum(tl.where(own[None, :] == e[:, None], value[None, :], 0.0), 1)
    tl.store(to + e, total.to(to.dtype.element_ty), mask=e < size)
