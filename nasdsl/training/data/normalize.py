"""Per-channel normalisation: measured on chosen training images only, or given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.files import Files
from nasdsl.training.data.reading import reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Mean and standard deviation of each channel, for pixels in 0..1 (bytes are divided by 255).

    Raises DataError if the lists differ in length or hold a value that cannot be used.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        # The language hands over lists of exact fractions.
        object.__setattr__(self, "mean", tuple(float(v) for v in self.mean))
        object.__setattr__(self, "std", tuple(float(v) for v in self.std))
        if not self.mean or len(self.mean) != len(self.std):
            raise DataError(
                f"channels: {len(self.mean)} means and {len(self.std)} deviations; "
                "give one of each per channel"
            )
        if not all(math.isfinite(v) for v in self.mean):
            raise DataError(f"channels: mean {self.mean} is not finite")
        if not all(math.isfinite(v) and v > 0 for v in self.std):
            raise DataError(f"channels: std {self.std} must be positive and finite")

    def tensors(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """(mean, std) as float32 of shape (channels, 1, 1), to broadcast over NCHW."""
        mean = torch.tensor(self.mean, dtype=torch.float32, device=device)
        std = torch.tensor(self.std, dtype=torch.float32, device=device)
        return mean[:, None, None], std[:, None, None]

    def __call__(self, x: Tensor) -> Tensor:
        """NCHW pixels (uint8 0..255, or float in 0..1) as normalised float32; `x` is kept."""
        if x.shape[1] != len(self.mean):
            raise DataError(
                f"channels: {len(self.mean)} given, but the images have {x.shape[1]}; "
                "give mean and std one value per channel"
            )
        mean, std = self.tensors(x.device)
        return (unit(x) - mean) / std


def unit(x: Tensor) -> Tensor:
    """Pixels as float32 in 0..1: bytes divided by 255, floats as they are."""
    return x.to(torch.float32).div_(255) if x.dtype == torch.uint8 else x.to(torch.float32)


def measure(images: NDArray[Any] | Files, indices: ArrayLike | None = None) -> Channels:
    """Mean and population standard deviation of each channel over `images[indices]` alone.

    `images` is NCHW, uint8 or float. Bytes are summed as integers, so the result is the exact
    value rounded once; floats are accumulated in float64. A constant channel gets deviation 1,
    because dividing by 0 would make it NaN. Raises DataError if `indices` is empty.
    """
    if isinstance(images, Files):
        return _measure_files(images, indices)
    chosen = images if indices is None else images[np.asarray(indices, np.int64)]
    if len(chosen) == 0:
        raise DataError("normalize: no images to measure; the training part is empty")
    measured = [
        _bytes(chosen[:, c]) if chosen.dtype == np.uint8 else _floats(chosen[:, c])
        for c in range(chosen.shape[1])
    ]
    return Channels(
        mean=tuple(mean for mean, _ in measured),
        std=tuple(std if std > 0 else 1.0 for _, std in measured),
    )


def _bytes(values: NDArray[Any]) -> tuple[float, float]:
    return _counted(np.bincount(values.reshape(-1), minlength=256))


def _measure_files(files: Files, indices: ArrayLike | None) -> Channels:
    """The same over files, each decoded once."""
    chosen = np.arange(len(files)) if indices is None else np.asarray(indices, np.int64)
    if len(chosen) == 0:
        raise DataError("normalize: no images to measure; the training part is empty")
    counts = np.zeros((files.shape[1], 256), np.int64)
    for raw in reading(files, (chosen[k : k + 64].tolist() for k in range(0, len(chosen), 64))):
        for channel, each in enumerate(counts):
            each += np.bincount(raw[:, channel].numpy().reshape(-1), minlength=256)
    moments = [_counted(each) for each in counts]
    return Channels(mean=tuple(m for m, _ in moments), std=tuple(s or 1.0 for _, s in moments))


def _counted(seen: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and deviation of bytes by how often each was seen."""
    counts = [int(c) for c in seen]
    n = sum(counts)
    first = sum(v * c for v, c in enumerate(counts))
    second = sum(v * v * c for v, c in enumerate(counts))
    variance = Fraction(n * second - first * first, n * n * 255 * 255)
    return float(Fraction(first, n * 255)), math.sqrt(variance)


def _floats(values: NDArray[Any]) -> tuple[float, float]:
    wide = values.astype(np.float64)
    if wide.min() == wide.max():  # rounding in the mean would leave a tiny deviation
        return float(wide.flat[0]), 0.0
    return float(wide.mean()), float(wide.std())
