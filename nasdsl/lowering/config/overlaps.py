"""What two parts of a split share, as far as it is known before the data is read."""

from __future__ import annotations

from array import array
from fractions import Fraction

from nasdsl.ir.config import Data


def shared(a: Data, b: Data) -> str | None:
    """How much two parts have in common, in words; None for nothing, or where only the data tell."""
    if a.order == b.order == "files":
        return _images(len(set(_members(a)) & set(_members(b))))
    if (a.order, a.seed, a.indices) != (b.order, b.seed, b.indices):
        return None
    if a.indices:
        return _images(int(min(a.high, b.high) - max(a.low, b.low)) + 1)
    common = sum(
        (max(Fraction(0), min(h, k) - max(g, j)) for g, h in _ranges(a) for j, k in _ranges(b)),
        Fraction(0),
    )
    return f"{float(common * 100):g}% of the images" if common else None


def _images(count: int) -> str | None:
    return f"{count} image{'s' * (count != 1)}" if count > 0 else None


def _ranges(part: Data) -> list[tuple[Fraction, Fraction]]:
    if part.outside:
        return [(Fraction(0), part.low), (part.high, Fraction(1))]
    return [(part.low, part.high)]


def _members(part: Data) -> list[int]:
    """The indices of a part of a list, cut as a run cuts it."""
    chosen = array("q", part.chosen).tolist()
    if part.indices:
        return chosen[int(part.low) : int(part.high) + 1]
    low, high = round(part.low * len(chosen)), round(part.high * len(chosen))
    return chosen[:low] + chosen[high:] if part.outside else chosen[low:high]
