"""Images whose class is known to lie in one pattern, with another pattern that only seems to tell.

Two pixels on the diagonal or on the antidiagonal around a random centre are the class. Two more,
beside or above each other around a centre of their own, agree with the class more often than
chance: the shortcut. In the test images it does not, so what a network loses there it had learnt
from the shortcut. After the synthetic set of ConfigurableOptimizer (confopt).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nasdsl.training.data.arrays import Arrays, DataError, checked
from nasdsl.training.data.request import Request

_OPTIONS = (
    "count", "size", "signal", "shortcut", "strength", "test_strength", "noise", "seed",
)  # fmt: skip


def synthetic(request: Request) -> Arrays:
    """Two classes of grey images on three channels.

    Options: `count` images (and a fifth as many for the test) [5000], `size` [32], `signal` and
    `shortcut`, the distances of the two pixels, odd [5 and 9], `strength` 0..1 of the shortcut [0]:
    it agrees with the class with probability 1/2 + strength / 2; `test_strength` [0]; `noise`, the
    deviation of the grey around the pixels [0.1]; `seed`.
    """
    request.takes(*_OPTIONS)
    size = request.positive("size") or 32
    count = request.positive("count") or 5000
    widths = request.positive("signal") or 5, request.positive("shortcut") or 9
    for name, width in zip(("signal", "shortcut"), widths, strict=True):
        if width % 2 == 0 or not 3 <= width <= size:
            raise DataError(f"synthetic: `{name}` is {width}; odd, 3..{size} is wanted")
    strengths = request.number("strength", 0), request.number("test_strength", 0)
    if not all(0 <= s <= 1 for s in strengths):
        raise DataError(f"synthetic: strengths are 0..1, not {strengths}")
    noise, seed = request.number("noise", 0.1), int(request.number("seed", 0))
    if count < 5 or count * size * size > 2**31 or noise < 0 or seed < 0:
        raise DataError("synthetic: `count` from 5, `noise` and `seed` from 0, 2 GiB at most")
    parts = [
        images(n, size, widths, strength, noise, (seed, part))
        for part, (n, strength) in enumerate(zip((count, count // 5), strengths, strict=True))
    ]
    return checked("synthetic", parts[0][:2], parts[1][:2], where="synthetic", classes=2)


def images(
    count: int,
    size: int,
    widths: tuple[int, int],
    strength: float,
    noise: float,
    seed: tuple[int, int],
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """Images (count, 3, size, size), classes, and whether the shortcut agrees with the class.

    Classes take turns, so both are equally many. It all follows from `seed` (PCG64).
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    y = np.arange(count, dtype=np.int64) % 2
    agrees = draw.random(count) < 0.5 + 0.5 * strength
    grey = 0.5 + noise * draw.standard_normal((count, size, size))
    everyone = np.arange(count)
    for width, flat, turned in ((widths[1], True, y == agrees), (widths[0], False, y == 1)):
        half = (width - 1) // 2
        row = draw.integers(half, size - half, count)
        column = draw.integers(half, size - half, count)
        if flat:
            # Beside each other, or where `turned` above each other.
            down, right = np.where(turned, half, 0), np.where(turned, 0, half)
        else:
            down, right = np.full(count, half), np.where(turned, -half, half)
        for sign in (-1, 1):
            grey[everyone, row + sign * down, column + sign * right] = 1.0
    pixels = np.rint(grey.clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(pixels[:, None], 3, axis=1), y, agrees
