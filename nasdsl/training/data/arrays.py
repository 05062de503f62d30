"""Data in memory, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nasdsl.training.data.files import Files

#: Dimensions of an array of samples, by what a sample is.
DIMENSIONS = {"features": 2, "series": 3, "image": 4, "volume": 5}
_NAMES = {"features": "rows", "series": "series", "image": "images", "volume": "volumes"}
_ONE = {"features": "row", "series": "series", "image": "image", "volume": "volume"}
_EXPECTED = {
    "features": "(count, features)",
    "series": "(count, channels, length)",
    "image": "(count, channels, h, w)",
    "volume": "(count, channels, d, h, w)",
}


class DataError(ValueError):
    """A user's data, or what they asked of it, is wrong; one line that says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrays:
    """A data set in memory, in the order of its files.

    `train_x` and `test_x` hold a sample in each row, channels first (images NCHW): uint8 with
    values 0..255, or float32 as the file gave them; or they are `Files`, which stay on disk. `kind` is what a sample is. `train_y` and `test_y` are int64 labels 0..classes-1, one per image.
    """

    name: str
    train_x: NDArray[Any] | Files
    train_y: NDArray[np.int64]
    test_x: NDArray[Any] | Files
    test_y: NDArray[np.int64]
    classes: int
    kind: str = "image"

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions of one sample, channels first: of an image (channels, height, width)."""
        return tuple(self.train_x.shape[1:])


def checked(
    name: str,
    train: tuple[NDArray[Any] | Files, NDArray[Any]],
    test: tuple[NDArray[Any] | Files, NDArray[Any]],
    *,
    where: object,
    classes: int | None = None,
    kind: str = "image",
) -> Arrays:
    """Arrays after all checks; `classes` None means the largest label of both parts plus one."""
    parts = []
    for part, (x, y) in (("train", train), ("test", test)):
        if len(x) == 0:
            raise DataError(f"{where}: the {part} part has no images; give it at least one")
        if len(x) != len(y):
            raise DataError(
                f"{where}: {len(x)} {part} images but {len(y)} labels; one label per image expected"
            )
        if x.ndim != DIMENSIONS[kind] or 0 in x.shape:
            raise DataError(
                f"{where}: {part} {_NAMES[kind]} have shape {x.shape}; expected {_EXPECTED[kind]}"
            )
        if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
            raise DataError(
                f"{where}: {part} labels are {y.dtype} of shape {y.shape}; "
                "expected a flat array of integers"
            )
        parts.append((_pixels(x, part, where, kind), y.astype(np.int64)))
    (train_x, train_y), (test_x, test_y) = parts
    if train_x.shape[1:] != test_x.shape[1:] or train_x.dtype != test_x.dtype:
        raise DataError(
            f"{where}: train images are {train_x.dtype} {train_x.shape[1:]} but test images "
            f"{test_x.dtype} {test_x.shape[1:]}; make them alike"
        )
    count = int(max(train_y.max(), test_y.max())) + 1 if classes is None else classes
    for part, y in (("train", train_y), ("test", test_y)):
        bad = np.flatnonzero((y < 0) | (y >= count))
        if len(bad):
            raise DataError(
                f"{where}: label {y[bad[0]]} of {part} image {bad[0]} is outside 0..{count - 1}; "
                "relabel from 0, or correct `classes`"
            )
    return Arrays(
        name=name,
        train_x=train_x,
        train_y=train_y,
        test_x=test_x,
        test_y=test_y,
        classes=count,
        kind=kind,
    )


def _pixels(x: NDArray[Any] | Files, part: str, where: object, kind: str) -> NDArray[Any] | Files:
    """Samples as contiguous uint8 or finite float32; only of images are integers pixels."""
    if not isinstance(x, np.ndarray):
        return x  # files, decoded later
    if kind != "image" and np.issubdtype(x.dtype, np.integer):
        x = x.astype(np.float32)
    if np.issubdtype(x.dtype, np.floating):
        with np.errstate(over="ignore"):
            x = np.ascontiguousarray(x, dtype=np.float32)
        finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
        if not finite.all():
            raise DataError(
                f"{where}: {part} {_ONE[kind]} {int(np.argmin(finite))} has a value that is not finite "
                "as float32; clean the file"
            )
        return x
    if not np.issubdtype(x.dtype, np.integer):
        raise DataError(f"{where}: {part} images are {x.dtype}; expected uint8 or float")
    if x.dtype != np.uint8 and (x.min() < 0 or x.max() > 255):
        raise DataError(
            f"{where}: {part} images have values {x.min()}..{x.max()}; integers must be 0..255"
        )
    return np.ascontiguousarray(x, dtype=np.uint8)
