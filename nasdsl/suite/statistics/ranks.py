"""Ranks of optimizers, and how much the rankings of benchmarks agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nasdsl.suite.statistics.results import Layout, StatisticsError, Values


def ranks(values: ArrayLike) -> Values:
    """Ranks from 1 for the smallest; equal values share the mean of their ranks."""
    x = np.asarray(values, dtype=np.float64)
    order = np.argsort(x, kind="stable")
    made = np.empty(len(x), dtype=np.float64)
    i = 0
    while i < len(x):
        j = i
        while j + 1 < len(x) and x[order[j + 1]] == x[order[i]]:
            j += 1
        made[order[i : j + 1]] = (i + j) / 2 + 1
        i = j + 1
    return made


def block_ranks(layout: Layout) -> Values:
    """Rank 1 for the best optimizer of every block, shape (blocks, optimizers)."""
    if layout.n == 0:
        return np.empty((0, layout.k))
    sign = -1.0 if layout.higher else 1.0
    return np.array([ranks(sign * row) for row in layout.values])


def average_ranks(layout: Layout) -> Values:
    """The mean over blocks of the ranks of every optimizer. Raises StatisticsError without blocks."""
    if layout.n == 0:
        raise StatisticsError("no block has a value of every optimizer")
    return np.asarray(block_ranks(layout).mean(axis=0))


def ties(layout: Layout) -> float:
    """Sum over blocks and groups of equal values of t^3 - t."""
    total = 0.0
    for row in layout.values:
        _, counts = np.unique(row, return_counts=True)
        total += float((counts**3 - counts).sum())
    return total


def win_rates(layout: Layout) -> Values:
    """The share of blocks in which the optimizer of a row beats that of a column; ties count half."""
    x = layout.values if layout.higher else -layout.values
    above = (x[:, :, None] > x[:, None, :]).mean(axis=0)
    equal = (x[:, :, None] == x[:, None, :]).mean(axis=0)
    rates: Values = above + equal / 2
    return rates
