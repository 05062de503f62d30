"""Images that stay on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.picture import picture


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Files:
    """One part of a data set as files; indexed like an array of uint8 NCHW."""

    paths: tuple[str, ...]
    #: (count, channels, height, width)
    shape: tuple[int, int, int, int]
    size: int | None
    workers: int
    dtype: ClassVar[Any] = np.dtype(np.uint8)
    ndim: ClassVar[int] = 4

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def bytes(self) -> int:
        """What all images take, decoded."""
        return int(np.prod(self.shape, dtype=object))

    def of(self, channels: int) -> Files:
        """The same images with so many channels."""
        return replace(self, shape=(self.shape[0], channels, *self.shape[2:]))

    def __getitem__(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The images at `indices`, decoded here. Raises DataError."""
        x = np.empty((len(indices), *self.shape[1:]), np.uint8)
        self.decode(indices, x)
        return x

    def decode(self, indices: Sequence[int], x: NDArray[np.uint8]) -> None:
        """Put the images at `indices` into `x`. Raises DataError."""
        for i, index in enumerate(indices):
            path = Path(self.paths[index])
            found = picture(path, self.size)
            height, width, channels = found.shape
            if (height, width) != self.shape[2:]:
                raise DataError(
                    f"{path}: is {width}x{height} pixels, others are {self.shape[3]}x"
                    f"{self.shape[2]}; resize them, or say folder(..., size = {self.shape[3]})"
                )
            if channels > self.shape[1]:
                raise DataError(f"{path}: has colours, others are grey; make them alike")
            x[i] = found.transpose(2, 0, 1)  # a grey picture among colour ones is broadcast
