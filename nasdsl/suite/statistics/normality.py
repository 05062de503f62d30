"""The test of Shapiro and Wilk for normality, after Royston (1995, algorithm AS R94)."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

_ROOT = 1 / math.sqrt(2)


def shapiro(values: ArrayLike) -> float | None:
    """The p value that values are of a normal distribution; None for n < 3, n > 5000 or no spread."""
    x = np.sort(np.asarray(values, dtype=np.float64))
    n = len(x)
    if n < 3 or n > 5000 or x[0] == x[-1]:
        return None
    a = _weights(n)
    half = len(a)
    numerator = float((a * (x[::-1][:half] - x[:half])).sum()) ** 2
    w = min(1.0, numerator / float(((x - x.mean()) ** 2).sum()))
    if n == 3:
        return max(0.0, 6 / math.pi * (math.asin(math.sqrt(w)) - math.asin(math.sqrt(0.75))))
    if w == 1.0:
        return 1.0
    y, log = math.log(1 - w), math.log(n)
    if n <= 11:
        gamma = -2.273 + 0.459 * n
        if y >= gamma:
            return 1e-99
        y = -math.log(gamma - y)
        mean = _poly((0.544, -0.39978, 0.025054, -6.714e-4), n)
        spread = math.exp(_poly((1.3822, -0.77857, 0.062767, -0.0020322), n))
    else:
        mean = _poly((-1.5861, -0.31082, -0.083751, 0.0038915), log)
        spread = math.exp(_poly((-0.4803, -0.082676, 0.0030302), log))
    return 1 - NormalDist().cdf((y - mean) / spread)


def _weights(n: int) -> np.ndarray:
    """The upper half of the coefficients, largest first."""
    half = n // 2
    if n == 3:
        return np.array([_ROOT])
    m = np.array([NormalDist().inv_cdf((i - 0.375) / (n + 0.25)) for i in range(1, half + 1)])
    total = 2 * float(m @ m)
    root, step = math.sqrt(total), 1 / math.sqrt(n)
    first = _poly((0, 0.221157, -0.147981, -2.07119, 4.434685, -2.706056), step) - m[0] / root
    a = np.empty(half)
    if n > 5:
        second = _poly((0, 0.042981, -0.293762, -1.752461, 5.682633, -3.582633), step) - m[1] / root
        left = (total - 2 * m[0] ** 2 - 2 * m[1] ** 2) / (1 - 2 * first**2 - 2 * second**2)
        a[:2] = first, second
        start = 2
    else:
        left = (total - 2 * m[0] ** 2) / (1 - 2 * first**2)
        a[0] = first
        start = 1
    a[start:] = -m[start:] / math.sqrt(left)
    return a


def _poly(coefficients: tuple[float, ...], x: float) -> float:
    return sum(c * x**i for i, c in enumerate(coefficients))
