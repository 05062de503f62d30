"""Images that lie on a device once, and batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasdsl.kernels.batches import Batches
from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.augment import Pipeline
from nasdsl.training.data.normalize import Channels, unit
from nasdsl.training.data.taking import kernel, moves


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """Images and labels on one device, with the normalisation applied to every batch taken.

    `x` has a sample in each row, channels first (images NCHW), uint8 0..255 or float32; `y` is int64; `mean` and `std` are float32 of
    shape (channels, 1, …). Bytes stay bytes: they become float32 only in the batch.
    """

    x: Tensor
    y: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def put(
        cls,
        x: NDArray[Any],
        y: NDArray[np.int64],
        channels: Channels,
        device: torch.device | str = "cpu",
    ) -> Images:
        """A copy of the arrays on `device`. Raises DataError if the shapes do not agree."""
        if x.ndim < 2 or len(x) != len(y):
            raise DataError(
                f"batches: samples {x.shape} and labels {y.shape} do not agree; expected NC… and N"
            )
        if x.shape[1] != len(channels.mean):
            raise DataError(
                f"channels: {len(channels.mean)} given, but the images have {x.shape[1]}; "
                "give mean and std one value per channel"
            )
        mean, std = (t.reshape(-1, *[1] * (x.ndim - 2)) for t in channels.tensors(device))
        return cls(
            x=torch.tensor(x, device=device), y=torch.tensor(y, device=device), mean=mean, std=std
        )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def device(self) -> torch.device:
        return self.x.device

    def take(
        self,
        indices: Tensor,
        augment: Pipeline | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The images at `indices` as normalised float32, and their labels.

        With `augment`, which then needs a `generator`, its steps run around the normalisation.
        Images have their channels last in memory.
        """
        if augment is not None and generator is None:
            raise TypeError("take: augmentation needs a generator")
        made = kernel(self.x) if indices.dtype == torch.int64 else None
        before = augment.before.steps if augment is not None else ()
        if made is not None and not before:
            x = self._moved(made, indices, augment, generator)
        else:
            x = unit(self.x[indices])
            if augment is None or generator is None:
                x = (x - self.mean) / self.std
            else:
                x = (augment.before(x, generator) - self.mean) / self.std
                x = augment.after(x, generator)
        if x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return x, self.y[indices]

    def _moved(
        self,
        made: Batches,
        indices: Tensor,
        augment: Pipeline | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """The same by the kernel; steps that do more than move and cut follow by themselves."""
        indices = indices.contiguous()
        if augment is None or generator is None:
            return made(self.x, indices, self.mean, self.std, ())
        height, width = self.x.shape[2:]
        drawn, rest = moves(augment, len(indices), (height, width), generator)
        return rest(made(self.x, indices, self.mean, self.std, drawn), generator)
