"""Tails of the distributions that tests refer to, without scipy.

Incomplete gamma and beta functions by series and continued fractions (DLMF 8.7.3, 8.9.2, 8.17.22;
Lentz's method), the studentized range with infinite degrees of freedom by quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

_TINY = 1e-300


def chi2_tail(x: float, df: float) -> float:
    """P(X >= x) for chi-squared with `df` degrees of freedom."""
    return 1.0 if x <= 0 else gamma_tail(df / 2, x / 2)


def gamma_tail(a: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(a, x)."""
    front = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while abs(term) > 1e-17 * abs(total):
            n += 1
            term *= x / n
            total += term
        return 1 - total * front
    b, c = x + 1 - a, 1 / _TINY
    d = 1 / b
    h = d
    for i in range(1, 10_000):
        an = -i * (i - a)
        b += 2
        d = 1 / _away(an * d + b)
        c = _away(b + an / c)
        step = d * c
        h *= step
        if abs(step - 1) < 1e-16:
            break
    return front * h


def beta_head(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_head(b, a, 1 - x)
    log = a * math.log(x) + b * math.log1p(-x)
    front = math.exp(log + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)) / a
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    h = d
    for m in range(1, 10_000):
        for up in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + up * d)
            c = _away(1 + up / c)
            h *= d * c
        if abs(d * c - 1) < 1e-16:
            break
    return front * h


def _away(x: float) -> float:
    return x if abs(x) > _TINY else _TINY


def f_tail(x: float, df1: float, df2: float) -> float:
    """P(X >= x) for Fisher's F."""
    return 1.0 if x <= 0 else beta_head(df2 / 2, df1 / 2, df2 / (df2 + df1 * x))


def t_two_sided(t: float, df: float) -> float:
    """P(|T| >= |t|) for Student's t."""
    return beta_head(df / 2, 0.5, df / (df + t * t))


def t_quantile(p: float, df: float) -> float:
    """The value that T stays below with probability p >= 1/2."""
    return solve(lambda t: 1 - t_two_sided(t, df) / 2, p, 0.0, 1e8)


def range_head(q: float, k: int) -> float:
    """P(range of k standard normal values <= q): k int phi(z) (Phi(z) - Phi(z - q))^(k-1) dz."""
    if q <= 0:
        return 0.0
    z = np.linspace(-8.5, 8.5, 4001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    inside = (normal_head(z) - normal_head(z - q)) ** (k - 1)
    return float(min(1.0, k * np.trapezoid(density * inside, z)))


def range_quantile(p: float, k: int) -> float:
    """The studentized range with infinite degrees of freedom: q such that `range_head` is p."""
    return solve(lambda q: range_head(q, k), p, 0.0, 100.0)


def normal_head(z: np.ndarray) -> np.ndarray:
    """The distribution function of the standard normal, elementwise."""
    scaled = np.asarray(z, dtype=np.float64) / math.sqrt(2)
    return np.array([0.5 * math.erfc(-v) for v in scaled.ravel()]).reshape(scaled.shape)


def normal_quantile(p: float) -> float:
    """The inverse of the standard normal distribution function."""
    return NormalDist().inv_cdf(p)


def solve(f: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Where a growing function has a value, by bisection."""
    for _ in range(200):
        middle = (low + high) / 2
        if f(middle) < wanted:
            low = middle
        else:
            high = middle
        if high - low <= 1e-13 * max(1.0, abs(high)):
            break
    return (low + high) / 2
