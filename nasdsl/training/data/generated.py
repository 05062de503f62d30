"""Series and rows of features that are made, not read: small sets of other kinds than images.

What tells the classes is planted, so that a network can learn it and a look at one value cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasdsl.training.data.arrays import Arrays, DataError, checked
from nasdsl.training.data.request import Request

#: Length of the piece of a series that tells its class.
PIECE = 16
Made = tuple[NDArray[np.float32], NDArray[np.int64]]


def waveforms(request: Request) -> Arrays:
    """Series of one channel in four classes: the shape of a short piece somewhere in the noise.

    Options: `count` [2000] and a fifth as many for the test, `length` [64], `noise` [0.4], `seed`.
    """
    request.takes("count", "length", "noise", "seed")
    length = request.positive("length") or 64
    if length < 2 * PIECE:
        raise DataError(f"waveforms: `length` is {length}; at least {2 * PIECE} are wanted")
    noise = request.number("noise", 0.4)
    return _made(request, "series", 4, length, lambda n, draw: series(n, length, noise, draw))


def interactions(request: Request) -> Arrays:
    """Rows of features in three classes: how many of two products of columns are positive.

    No column says anything by itself. Options: `count` [2000] and a fifth as many for the test,
    `columns` [12], of which four count, `noise` [0.1], `seed`.
    """
    request.takes("count", "columns", "noise", "seed")
    columns = request.positive("columns") or 12
    if columns < 4:
        raise DataError(f"interactions: `columns` is {columns}; at least 4 are wanted")
    noise = request.number("noise", 0.1)
    return _made(request, "features", 3, columns, lambda n, draw: rows(n, columns, noise, draw))


def series(count: int, length: int, noise: float, draw: np.random.Generator) -> Made:
    """Series (count, 1, length) and classes, which take turns: sine, square, saw, chirp."""
    t = np.arange(PIECE) / PIECE
    pieces = np.stack(
        [
            np.sin(4 * np.pi * t),
            np.sign(np.sin(4 * np.pi * t + 0.1)),
            2 * ((2 * t) % 1) - 1,
            np.sin(2 * np.pi * t * (1 + 3 * t)),
        ]
    )
    y = np.arange(count, dtype=np.int64) % len(pieces)
    x = noise * draw.standard_normal((count, length))
    begin = draw.integers(0, length - PIECE + 1, count)
    size = draw.uniform(0.7, 1.3, count)
    places = begin[:, None] + np.arange(PIECE)
    x[np.arange(count)[:, None], places] += size[:, None] * pieces[y]
    return x[:, None].astype(np.float32), y


def rows(count: int, columns: int, noise: float, draw: np.random.Generator) -> Made:
    """Rows (count, columns) and classes."""
    x = draw.standard_normal((count, columns))
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64) + (x[:, 2] * x[:, 3] > 0)
    x += noise * draw.standard_normal(x.shape)
    return x.astype(np.float32), y


def _made(
    request: Request,
    kind: str,
    classes: int,
    width: int,
    make: Callable[[int, np.random.Generator], Made],
) -> Arrays:
    name = request.source
    if request.kind != kind:
        raise DataError(f"{name}: makes {kind}; its data set declares {request.kind}")
    if request.args:
        raise DataError(f"{name}: takes no arguments; found {request.args!r}")
    count, seed = request.positive("count") or 2000, int(request.number("seed", 0))
    if count < 5 * classes or count * width > 2**28 or seed < 0 or request.number("noise", 0) < 0:
        raise DataError(
            f"{name}: `count` from {5 * classes}, `noise` and `seed` from 0, 1 GiB at most"
        )
    parts: list[Any] = [
        make(n, np.random.Generator(np.random.PCG64((seed, part))))
        for part, n in enumerate((count, count // 5))
    ]
    return checked(name, parts[0], parts[1], where=name, classes=classes, kind=kind)
