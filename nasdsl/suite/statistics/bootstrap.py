"""Intervals by resampling, seeded: the same values always give the same interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nasdsl.suite.statistics.distributions import normal_head, normal_quantile
from nasdsl.suite.statistics.results import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An interval that covers with probability `level`; `over` says what was drawn anew."""

    low: float
    high: float
    level: float
    over: str


def interval(
    units: ArrayLike,
    statistic: Callable[[Values], float],
    *,
    over: str,
    level: float = 0.95,
    times: int = 2000,
    seed: int = 0,
    corrected: bool = True,
) -> Interval | None:
    """Bootstrap interval of a statistic of units, the rows of an array; None for fewer than three.

    `corrected`: BCa (Efron 1987), else percentiles.
    """
    x = np.asarray(units, dtype=np.float64)
    n = len(x)
    if n < 3:
        return None
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(x[rng.integers(0, n, n)]) for _ in range(times)])
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) == 0:
        return None
    tails = [(1 - level) / 2, (1 + level) / 2]
    if corrected:
        tails = _bca(x, statistic, drawn, tails)
    low, high = np.quantile(drawn, tails)
    return Interval(low=float(low), high=float(high), level=level, over=over)


def _bca(
    x: Values, statistic: Callable[[Values], float], drawn: Values, tails: list[float]
) -> list[float]:
    seen = statistic(x)
    below = float((drawn < seen).mean() + (drawn == seen).mean() / 2)
    if not 0 < below < 1:
        return tails
    bias = normal_quantile(below)
    without = np.array([statistic(np.delete(x, i, axis=0)) for i in range(len(x))])
    d = without.mean() - without
    scale = 6 * float((d**2).sum()) ** 1.5
    if not np.isfinite(scale):
        return tails
    speed = float((d**3).sum()) / scale if scale else 0.0
    made = []
    for tail in tails:
        z = bias + normal_quantile(tail)
        made.append(float(normal_head(np.array(bias + z / (1 - speed * z)))))
    return made
