"""One question about paired differences: the test that fits them, its size, its power."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nasdsl.suite.statistics.distributions import t_quantile
from nasdsl.suite.statistics.normality import shapiro
from nasdsl.suite.statistics.pairwise import (
    Effect,
    PairedT,
    Wilcoxon,
    effect,
    paired_t,
    wilcoxon,
)
from nasdsl.suite.statistics.power import needed, power, smallest_n
from nasdsl.suite.statistics.results import StatisticsError
from nasdsl.suite.statistics.verdict import verdict

#: Shapiro and Wilk's p above which differences pass for normal.
NORMAL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Student's t interval of a mean; it rests on normal differences."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Values of two sides by unit, and what their difference shows.

    `normal_p` is Shapiro and Wilk's of the differences, `test` the one that fits them: `paired t`
    where they look normal, else `Wilcoxon`; `p` is its. `said` is the verdict: never
    `significant` where so few units forbid it. `power` is the chance to find an effect of the size
    that was seen, `needed` how many units it takes to find it four times in five (None: above a
    thousand, or no difference at all).
    """

    unit: str
    n: int
    mean: float
    bounds: Bounds | None
    effect: Effect
    normal_p: float | None
    t: PairedT | None
    wilcoxon: Wilcoxon
    test: str
    p: float
    said: str
    power: float
    needed: int | None


def paired(first: ArrayLike, second: ArrayLike, *, unit: str, alpha: float = 0.05) -> Paired:
    """`first` minus `second`, unit by unit. Raises StatisticsError without units."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if len(a) != len(b) or len(a) == 0:
        raise StatisticsError(f"nothing is paired by {unit}")
    d = a - b
    n = len(d)
    t, signed = paired_t(d), wilcoxon(d)
    normal = shapiro(d)
    uses_t = t is not None and normal is not None and normal > NORMAL
    p = t.p if uses_t and t is not None else signed.p
    size = effect(a, b)
    finite = math.isfinite(size.hedges) and size.hedges != 0
    return Paired(
        unit=unit,
        n=n,
        mean=float(d.mean()),
        bounds=interval(d),
        effect=size,
        normal_p=normal,
        t=t,
        wilcoxon=signed,
        test="paired t" if uses_t else "Wilcoxon",
        p=p,
        said=_verdict(p, n, alpha),
        power=power(size.hedges, n, alpha) if finite else math.nan,
        needed=needed(size.hedges, alpha=alpha) if finite else None,
    )


def interval(values: ArrayLike, *, level: float = 0.95) -> Bounds | None:
    """Student's t interval of the mean; None for one value."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2:
        return None
    half = t_quantile((1 + level) / 2, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Bounds(low=float(x.mean()) - half, high=float(x.mean()) + half)


def _verdict(p: float, n: int, alpha: float) -> str:
    """The words; a t test of so few that no signed-rank test could speak is not let speak either.

    With fewer than `smallest_n` units normality cannot be seen, so the t test has nothing to rest
    on.
    """
    least = 2.0 ** (1 - n) if n < smallest_n(alpha) else 0.0
    return verdict(p, n=n, least=least, alpha=alpha)
