"""What a comparison of so many blocks or seeds can show at all."""

from __future__ import annotations

import math

import numpy as np

from nasdsl.suite.statistics.distributions import normal_head, t_quantile
from nasdsl.suite.statistics.pairwise import least_p

#: Efficiency of the signed-rank test against the t test on normal differences, for many of them.
EFFICIENCY = 3 / math.pi


def power(effect: float, n: int, alpha: float = 0.05) -> float:
    """The chance that a paired t test of n differences finds an effect of so many deviations.

    P(|T| > t) of the noncentral t with shift effect sqrt(n), by quadrature over the spread.
    """
    if n < 2:
        return 0.0
    df = n - 1
    critical = t_quantile(1 - alpha / 2, df)
    shift = abs(effect) * math.sqrt(n)
    # Density of s = sqrt(chi2 / df); its mass lies within a few deviations of 1.
    wide = 12 / math.sqrt(2 * df)
    s = np.linspace(max(1e-9, 1 - wide), 1 + wide, 4001)
    log = (
        math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2)
        + (df - 1) * np.log(s) - df * s**2 / 2
    )  # fmt: skip
    tails = 1 - normal_head(critical * s - shift) + normal_head(-critical * s - shift)
    return float(min(1.0, np.trapezoid(np.exp(log) * tails, s)))


def needed(
    effect: float, *, power_wanted: float = 0.8, alpha: float = 0.05, most: int = 1000
) -> int | None:
    """The fewest pairs with which a signed-rank test finds an effect with the power wanted.

    A paired t test's number, divided by the efficiency of the ranks, and enough of them that p can
    fall below alpha at all; None where `most` do not suffice.
    """
    n = 2
    while n <= most and power(effect, n, alpha) < power_wanted:
        n += 1
    if n > most:
        return None
    return max(math.ceil(n / EFFICIENCY), smallest_n(alpha))


def smallest_n(alpha: float = 0.05) -> int:
    """The fewest pairs with which a signed-rank test can give p <= alpha: 6 at .05."""
    n = 1
    while least_p(n) > alpha:
        n += 1
    return n
