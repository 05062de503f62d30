"""The words that go with a p value; `significant` only where the numbers allow it."""

from __future__ import annotations

from nasdsl.suite.statistics.power import smallest_n


def verdict(p: float, *, n: int, least: float, alpha: float = 0.05) -> str:
    """`significant`, `not significant`, or that n pairs can never be, and how many would do.

    `least` is the smallest p that the test can give with n.
    """
    if least > alpha:
        return f"cannot be significant (n = {n} gives p >= {short(least)}; needs n >= {smallest_n(alpha)})"
    return "significant" if p <= alpha else "not significant"


def short(p: float) -> str:
    """A p value in few characters: `.0091`, `.14`, `<.0001`."""
    if p < 1e-4:
        return "<.0001"
    digits = 4 if p < 0.01 else 3 if p < 0.1 else 2
    text = f"{p:.{digits}f}"
    return text[1:] if text.startswith("0.") else text
