"""Two optimizers at a time: exact Wilcoxon, paired t, Holm, and how large the difference is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nasdsl.suite.statistics.distributions import t_two_sided
from nasdsl.suite.statistics.normality import shapiro
from nasdsl.suite.statistics.ranks import ranks
from nasdsl.suite.statistics.results import Layout, StatisticsError, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Wilcoxon:
    """The signed-rank test of paired differences.

    `statistic` is the smaller of the two rank sums, `n` the differences that are not zero (zeros
    are left out, as by Wilcoxon), `least` the smallest p that n of them can give.
    """

    statistic: float
    p: float
    n: int
    least: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedT:
    """The paired t test, and Shapiro and Wilk's p that the differences are normal."""

    t: float
    p: float
    n: int
    normal_p: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How large a difference is, whatever its p.

    `mean` in units of the measure; `hedges` is mean / standard deviation of the differences,
    corrected for few of them (Hedges 1981); `cliff` is P(a > b) - P(a < b) over all pairs (Cliff
    1993); `biserial` the signed-rank sums' difference over their total (Kerby 2014).
    """

    mean: float
    hedges: float
    cliff: float
    biserial: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Optimizer `a` against `b` over the blocks of a layout; `holm` is the corrected p."""

    a: str
    b: str
    wilcoxon: Wilcoxon
    holm: float
    t: PairedT | None
    effect: Effect


def wilcoxon(differences: ArrayLike) -> Wilcoxon:
    """Exact two-sided p, also with ties: all 2^n signs of the ranks as they are, counted.

    Raises StatisticsError without differences.
    """
    d = _given(differences)
    d = d[d != 0]
    n = len(d)
    if n == 0:
        return Wilcoxon(statistic=0.0, p=1.0, n=0, least=1.0)
    # Twice the ranks are whole numbers even where ties share a half.
    doubled = [round(2 * r) for r in ranks(np.abs(d))]
    plus = sum(r for r, v in zip(doubled, d, strict=True) if v > 0)
    total = sum(doubled)
    ways = np.zeros(total + 1, dtype=object)
    ways[0] = 1
    for r in doubled:
        ways[r:] = ways[r:] + ways[: total + 1 - r]
    low = min(plus, total - plus)
    p = min(1.0, float(2 * sum(ways[: low + 1]) / 2**n))
    return Wilcoxon(statistic=low / 2, p=p, n=n, least=least_p(n))


def least_p(n: int) -> float:
    """The smallest two-sided p of a signed-rank test of n differences: 2 / 2^n."""
    return min(1.0, 2.0 ** (1 - n))


def paired_t(differences: ArrayLike) -> PairedT | None:
    """The paired t test; None for fewer than two differences or without any spread."""
    d = _given(differences)
    if len(d) < 2 or not (spread := float(d.std(ddof=1))):
        return None
    t = float(d.mean()) / (spread / math.sqrt(len(d)))
    normal = shapiro(d)
    return PairedT(t=t, p=t_two_sided(t, len(d) - 1), n=len(d), normal_p=normal)


def effect(a: ArrayLike, b: ArrayLike) -> Effect:
    """The size of the difference of paired values."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    d = x - y
    n = len(d)
    spread = float(d.std(ddof=1)) if n > 1 else 0.0
    small = 1 - 3 / (4 * (n - 1) - 1) if n > 2 else 1.0
    mean = float(d.mean())
    hedges = mean / spread * small if spread else math.copysign(math.inf, mean) if mean else 0.0
    cliff = float(np.sign(np.subtract.outer(x, y)).mean())
    nonzero = d[d != 0]
    r = ranks(np.abs(nonzero))
    biserial = float((np.sign(nonzero) * r).sum() / r.sum()) if len(r) else 0.0
    return Effect(mean=mean, hedges=hedges, cliff=cliff, biserial=biserial)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979), in the given order."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    made = [0.0] * len(p)
    highest = 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - place) * p[i]))
        made[i] = highest
    return made


def pairs(layout: Layout) -> tuple[Pair, ...]:
    """All pairs of optimizers over the blocks of a layout, corrected together."""
    names = list(itertools.combinations(layout.optimizers, 2))
    tests: Mapping[tuple[str, str], Wilcoxon] = {
        (a, b): wilcoxon(layout.of(a) - layout.of(b)) for a, b in names
    }
    corrected = holm([tests[n].p for n in names])
    return tuple(
        Pair(
            a=a,
            b=b,
            wilcoxon=tests[a, b],
            holm=p,
            t=paired_t(layout.of(a) - layout.of(b)),
            effect=effect(layout.of(a), layout.of(b)),
        )
        for (a, b), p in zip(names, corrected, strict=True)
    )


def _given(differences: ArrayLike) -> Values:
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or len(d) == 0:
        raise StatisticsError("a paired test needs at least one difference")
    return d
