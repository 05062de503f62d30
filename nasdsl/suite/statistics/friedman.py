"""Whether optimizers differ at all: Friedman's test and the correction of Iman and Davenport."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nasdsl.suite.statistics.distributions import chi2_tail, f_tail, range_quantile
from nasdsl.suite.statistics.ranks import average_ranks, ties
from nasdsl.suite.statistics.results import Layout, StatisticsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Friedman:
    """Treatments are the optimizers, blocks those of the layout.

    `chi2` has k - 1 degrees of freedom; `f`, of Iman and Davenport (1980), is less conservative
    and has k - 1 and (k - 1)(n - 1).
    """

    n: int
    k: int
    chi2: float
    p: float
    f: float
    f_p: float


def friedman(layout: Layout) -> Friedman:
    """Friedman's test. Raises StatisticsError for fewer than three optimizers or two blocks."""
    n, k = layout.n, layout.k
    if k < 3 or n < 2:
        raise StatisticsError("Friedman's test needs three optimizers and two blocks")
    means = average_ranks(layout)
    raw = 12 * n / (k * (k + 1)) * float(((means - (k + 1) / 2) ** 2).sum())
    correction = 1 - ties(layout) / (n * (k**3 - k))
    if correction <= 0:
        return Friedman(n=n, k=k, chi2=0.0, p=1.0, f=0.0, f_p=1.0)
    chi2 = raw / correction
    rest = n * (k - 1) - chi2
    if rest <= 1e-12 * n * k:
        return Friedman(n=n, k=k, chi2=chi2, p=chi2_tail(chi2, k - 1), f=math.inf, f_p=0.0)
    f = (n - 1) * chi2 / rest
    return Friedman(
        n=n,
        k=k,
        chi2=chi2,
        p=chi2_tail(chi2, k - 1),
        f=f,
        f_p=f_tail(f, k - 1, (k - 1) * (n - 1)),
    )


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Nemenyi's: q sqrt(k (k + 1) / 6 n), q = studentized range / sqrt 2 (Demsar 2006, eq. 1)."""
    q = range_quantile(1 - alpha, k) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * n))


def cliques(
    layout: Layout, test: Friedman, *, alpha: float = 0.05
) -> tuple[tuple[str, ...], ...] | None:
    """Groups of optimizers that Nemenyi's test does not tell apart, largest possible, best first.

    None where Friedman's test is not significant: then nothing is told apart and a diagram with
    groups would suggest otherwise.
    """
    if test.p > alpha:
        return None
    means = dict(zip(layout.optimizers, average_ranks(layout), strict=True))
    order = sorted(means, key=lambda o: (means[o], o))
    cd = critical_difference(layout.k, layout.n, alpha)
    found: list[tuple[str, ...]] = []
    end = 0
    for i, first in enumerate(order):
        j = i
        while j + 1 < len(order) and means[order[j + 1]] - means[first] <= cd:
            j += 1
        if j > i and j + 1 > end:
            found.append(tuple(order[i : j + 1]))
            end = j + 1
    return tuple(found)
