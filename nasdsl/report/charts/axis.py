"""Round values along an axis."""

from __future__ import annotations

import math


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round values between two."""
    raw = (high - low) / max(1, count)
    step = 10 ** math.floor(math.log10(raw))
    for factor in (1, 2, 5, 10):
        if step * factor >= raw:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def marks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """Round values with texts that tell them apart."""
    found = ticks(low, high, count)
    step = found[1] - found[0] if len(found) > 1 else high - low
    digits = max(0, math.ceil(-math.log10(step) - 1e-9)) if step < 1 else 0
    return [(v, f"{v:.{digits}f}" if abs(v) < 1e4 else amount(v)) for v in found]


def decades(low: float, high: float) -> list[tuple[float, str]]:
    """Round values of a logarithmic axis: 1, 2 and 5 of each power of ten, or the ends alone."""
    found = [
        base * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for base in (1, 2, 5)
    ]
    inside = [v for v in found if low * 0.999 <= v <= high * 1.001]
    if len(inside) > 6:
        inside = [v for v in inside if f"{v:e}".startswith("1.0")]
    return [(v, amount(v)) for v in (inside if len(inside) > 1 else sorted({low, high}))]


def amount(value: float) -> str:
    """`1.93 M`: three digits."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def widened(low: float, high: float) -> tuple[float, float]:
    """Ends that differ."""
    return (low, high) if high - low > 1e-12 else (low - 0.5, high + 0.5)
