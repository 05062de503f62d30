"""Rank correlation of two benchmarks, with p values that hold for few optimizers.

Kendall's tau-b and Spearman's rho of the values of the same k optimizers. The p value is that of
all permutations where k! <= 50 000 or, for tau without ties, of the exact distribution of the
number of inversions; else of seeded random permutations. Kendall's W measures all blocks at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nasdsl.suite.statistics.ranks import average_ranks, block_ranks, ranks, ties
from nasdsl.suite.statistics.results import Layout, StatisticsError, Values

#: Permutations drawn where there are too many to look at.
DRAWN = 20_000
_EXACT = 50_000
_Statistic = Callable[[Values, Values], Values]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """A rank correlation of n items; `how` is `exact`, `all permutations` or `drawn permutations`."""

    coefficient: float
    p: float
    n: int
    how: str


def kendall(a: ArrayLike, b: ArrayLike) -> Correlation:
    """Kendall's tau-b, two-sided. Raises StatisticsError for fewer than two items.

    All items equal on a side: nan, p = 1.
    """
    x, y = _both(a, b)
    n = len(x)
    tau = _tau_b(x, y)
    if math.isnan(tau):
        return Correlation(coefficient=tau, p=1.0, n=n, how="undefined")
    if len(set(x)) == n and len(set(y)) == n and n <= 200:
        pairs = n * (n - 1) // 2
        apart = round(pairs * (1 - tau) / 2)
        return Correlation(coefficient=tau, p=_inversions_p(n, apart), n=n, how="exact")
    p, how = _permutation_p(x, y, _taus)
    return Correlation(coefficient=tau, p=p, n=n, how=how)


def spearman(a: ArrayLike, b: ArrayLike) -> Correlation:
    """Spearman's rho, two-sided. Raises StatisticsError for fewer than two items."""
    x, y = _both(a, b)
    rho = float(_rhos(ranks(x), ranks(y)[None])[0])
    if math.isnan(rho):
        return Correlation(coefficient=rho, p=1.0, n=len(x), how="undefined")
    p, how = _permutation_p(ranks(x), ranks(y), _rhos)
    return Correlation(coefficient=rho, p=p, n=len(x), how=how)


def tau(a: ArrayLike, b: ArrayLike) -> float:
    """Kendall's tau-b alone."""
    x, y = _both(a, b)
    return _tau_b(x, y)


def _both(a: ArrayLike, b: ArrayLike) -> tuple[Values, Values]:
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if len(x) != len(y) or len(x) < 2:
        raise StatisticsError("a rank correlation needs two lists of the same two or more items")
    return x, y


def _taus(x: Values, y: Values) -> Values:
    """Tau-b of x with every row of y; nan where a side has equal values only."""
    first, second = np.triu_indices(len(x), 1)
    dx = np.sign(x[first] - x[second])
    dy = np.sign(y[:, first] - y[:, second])
    scale = np.sqrt((dx != 0).sum() * (dy != 0).sum(axis=1))
    with np.errstate(invalid="ignore"):
        found: Values = (dy @ dx) / scale
    return found


def _rhos(x: Values, y: Values) -> Values:
    """Pearson's correlation of x with every row of y."""
    dx, dy = x - x.mean(), y - y.mean(axis=1, keepdims=True)
    scale = np.sqrt(float(dx @ dx) * (dy**2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        found: Values = (dy @ dx) / scale
    return found


def _tau_b(x: Values, y: Values) -> float:
    return float(_taus(x, y[None])[0])


def _inversions_p(n: int, apart: int) -> float:
    """Two-sided p of a number of discordant pairs: permutations of n by their inversions."""
    counts = [1]
    for size in range(2, n + 1):
        longer = [0] * (len(counts) + size - 1)
        for i, c in enumerate(counts):
            for j in range(size):
                longer[i + j] += c
        counts = longer
    low = min(apart, len(counts) - 1 - apart)
    return min(1.0, 2 * sum(counts[: low + 1]) / math.factorial(n))


def _permutation_p(x: Values, y: Values, statistic: _Statistic) -> tuple[float, str]:
    n = len(x)
    seen = abs(float(statistic(x, y[None])[0])) - 1e-12
    if math.factorial(n) <= _EXACT:
        orders = np.array(list(itertools.permutations(range(n))))
        return float((abs(statistic(x, y[orders])) >= seen).mean()), "all permutations"
    rng = np.random.default_rng(0)
    orders = np.array([rng.permutation(n) for _ in range(DRAWN)])
    hits = int((abs(statistic(x, y[orders])) >= seen).sum())
    return (hits + 1) / (DRAWN + 1), "drawn permutations"


def concordance(layout: Layout) -> float:
    """Kendall's W of the rankings of all blocks, corrected for ties: 0 none, 1 full agreement."""
    n, k = layout.n, layout.k
    if n < 2 or k < 2:
        raise StatisticsError("agreement needs two blocks and two optimizers")
    sums = average_ranks(layout) * n
    spread = float(((sums - sums.mean()) ** 2).sum())
    scale = n**2 * (k**3 - k) - n * ties(layout)
    return 12 * spread / scale if scale else math.nan


def between(layout: Layout) -> Values:
    """Kendall's tau-b between every two blocks, shape (blocks, blocks)."""
    made = np.eye(layout.n)
    ranked = block_ranks(layout)
    for i in range(layout.n):
        for j in range(i + 1, layout.n):
            made[i, j] = made[j, i] = _tau_b(ranked[i], ranked[j])
    return made
