"""Lists of indices as text: `0..95, 7, 300..309`, with both ends, in their order."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import ArrayLike

from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.splits import Indices

#: Indices of the longest list; no data set that is held or listed here has more images.
LARGEST = 2**27
_RUN = re.compile(r"([0-9]{1,12})(?:\.\.([0-9]{1,12}))?")


def written(indices: ArrayLike) -> str:
    """Indices in their order; three or more that follow each other by one as `first..last`."""
    given = np.asarray(indices, np.int64)
    if not len(given):
        return ""
    cuts = np.flatnonzero(np.diff(given) != 1) + 1
    starts = given[np.concatenate([[0], cuts])].tolist()
    ends = given[np.concatenate([cuts - 1, [len(given) - 1]])].tolist()
    runs: list[str] = []
    for a, b in zip(starts, ends, strict=True):
        runs += [f"{a}..{b}"] if b - a > 1 else map(str, range(a, b + 1))
    return ", ".join(runs)


def read(text: str) -> Indices:
    """The indices that `written` wrote. Raises DataError, before memory is taken for them."""
    runs = []
    for part in text.split(", ") if text else []:
        match = _RUN.fullmatch(part)
        first, last = (match[1], match[2] or match[1]) if match else ("1", "0")
        if int(last) < int(first):
            raise DataError(f"`{part[:40]}` is no list of indices such as `0..95, 7`")
        runs.append((int(first), int(last) + 1))
    if sum(b - a for a, b in runs) > LARGEST:
        raise DataError(f"a list of indices is longer than {LARGEST}")
    return np.concatenate([np.arange(0), *(np.arange(a, b) for a, b in runs)])
