"""Which images serve which purpose: exact index arithmetic, fingerprints and leak checks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasdsl.training.data.sources import DataError

Indices = NDArray[np.int64]
Number = Fraction | Decimal | int | float


def fraction_range(n: int, a: Number, b: Number) -> range:
    """Places of `order[a..b]` among `n`, for fractions 0 <= a <= b <= 1: half open.

    Both ends are cut at round-half-even(f * n), computed exactly, so neighbouring ranges share
    their cut: none overlaps and none leaves a gap. A float is taken as the decimal it prints as.
    Raises DataError if the fractions are out of order or out of 0..1.
    """
    low, high = _exact(a), _exact(b)
    if not 0 <= low <= high <= 1:
        raise DataError(f"data range {a}..{b}: expected fractions with 0 <= a <= b <= 1")
    return range(round(low * n), round(high * n))


def _exact(value: Number) -> Fraction:
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def index_range(a: int, b: int, n: int | None = None) -> range:
    """Places a, a+1, ..., b: inclusive and 0-based; checked against `n` where it is given.

    Raises DataError if the range is empty or leaves 0..n-1.
    """
    if not 0 <= a <= b:
        raise DataError(f"data range {a}..{b}: expected 0 <= first <= last")
    if n is not None and b >= n:
        raise DataError(f"data range {a}..{b}: the data has only the indices 0..{n - 1}")
    return range(a, b + 1)


def shuffle(n: int, seed: int) -> Indices:
    """A random order of 0..n-1 that depends on `n` and `seed` alone (PCG64)."""
    return _generator(seed).permutation(n).astype(np.int64)


def stratify(labels: ArrayLike, seed: int) -> Indices:
    """A random order of all indices in which every prefix has nearly the class proportions.

    The j-th of a class's m images, in random order, stands at (j + 1/2) / m of the whole; images
    of different classes at the same place are ordered at random. So the first fraction f of
    the order holds f * m images of each class, give or take about one.
    """
    y = np.asarray(labels)
    if y.ndim != 1:
        raise DataError(f"stratify: expected flat labels, found shape {y.shape}")
    order = _generator(seed).permutation(len(y))
    grouped = order[np.argsort(y[order], kind="stable")]
    _, starts, sizes = np.unique(y[grouped], return_index=True, return_counts=True)
    rank = np.arange(len(y)) - np.repeat(starts, sizes)
    place = (rank + 0.5) / np.repeat(sizes, sizes)
    chance = np.empty(len(y), np.int64)
    chance[order] = np.arange(len(y))
    return grouped[np.lexsort((chance[grouped], place))].astype(np.int64)


def _generator(seed: int) -> np.random.Generator:
    if seed < 0:
        raise DataError(f"seed {seed}: expected an integer from 0")
    return np.random.Generator(np.random.PCG64(seed))


def fingerprint(indices: ArrayLike) -> str:
    """16 hex digits of the SHA-256 of the indices, in order, as little-endian int64."""
    data = np.ascontiguousarray(np.asarray(indices, dtype="<i8"))
    return hashlib.sha256(data.tobytes()).hexdigest()[:16]


def overlap(a: ArrayLike, b: ArrayLike) -> int:
    """How many different indices are in both."""
    left, right = np.asarray(a, np.int64), np.asarray(b, np.int64)
    return len(np.intersect1d(left, right))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """The four uses of the training images; each part is a read-only int64 array of indices.

    The source's own test part is not among them: only a final measurement reads it.
    """

    search_train: Indices
    search_valid: Indices
    retrain_train: Indices
    retrain_valid: Indices | None = None

    def __post_init__(self) -> None:
        for name, part in self._given():
            copy = np.array(part, dtype=np.int64).reshape(-1)
            copy.setflags(write=False)
            object.__setattr__(self, name, copy)

    def _given(self) -> list[tuple[str, Indices]]:
        parts = [
            ("search_train", self.search_train),
            ("search_valid", self.search_valid),
            ("retrain_train", self.retrain_train),
        ]
        return parts + (
            [] if self.retrain_valid is None else [("retrain_valid", self.retrain_valid)]
        )

    def parts(self) -> dict[str, Indices]:
        """The given parts by their names in the language, such as `search.train`."""
        return {name.replace("_", "."): part for name, part in self._given()}

    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of every given part, by its name in the language."""
        return {name: fingerprint(part) for name, part in self.parts().items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a split that a user should know."""

    severity: Literal["error", "warning"]
    message: str


def check(splits: Splits, *, size: int | None = None, disjoint: bool = False) -> list[Finding]:
    """What is wrong or doubtful about `splits`; an empty list if nothing.

    Errors: an empty part, an index outside 0..size-1 (where `size` is given) or twice in one
    part, and images shared by the two search parts or by the two retraining parts. Images shared
    by search and retraining are a warning, or an error if `disjoint` is asked for.
    """
    parts = splits.parts()
    found: list[Finding] = []

    def error(message: str) -> None:
        found.append(Finding(severity="error", message=message))

    for name, part in parts.items():
        if len(part) == 0:
            error(f"{name} is empty; give it at least one image")
            continue
        if part.min() < 0 or (size is not None and part.max() >= size):
            worst = part.min() if part.min() < 0 else part.max()
            limit = "0" if size is None else f"0..{size - 1}"
            error(f"{name} holds the index {worst}, outside the data ({limit})")
        repeated = len(part) - len(np.unique(part))
        if repeated:
            error(f"{name} holds {repeated} of its {len(part)} indices more than once")
    names: Sequence[str] = tuple(parts)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            shared = overlap(parts[first], parts[second])
            if not shared:
                continue
            same_stage = first.split(".")[0] == second.split(".")[0]
            severity: Literal["error", "warning"] = "error" if same_stage or disjoint else "warning"
            message = f"{first} and {second} share {shared} of {len(parts[second])} indices"
            found.append(Finding(severity=severity, message=message))
    return found
