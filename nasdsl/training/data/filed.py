"""Batches from images that stay on disk: what `Images` is for those in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasdsl.training.data.augment import Pipeline
from nasdsl.training.data.files import Files
from nasdsl.training.data.images import Images
from nasdsl.training.data.normalize import Channels
from nasdsl.training.data.reading import reading


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filed:
    """Images in files, labels on a device, and the normalisation of every batch taken."""

    files: Files
    y: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def put(
        cls,
        files: Files,
        y: NDArray[np.int64],
        channels: Channels,
        device: torch.device | str = "cpu",
    ) -> Filed:
        """The files with labels on `device`. Raises DataError if the channels do not agree."""
        none = np.empty((0, *files.shape[1:]), np.uint8)
        empty = Images.put(none, y[:0], channels, device)
        labels = torch.tensor(y, device=device)
        return cls(files=files, y=labels, mean=empty.mean, std=empty.std)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def device(self) -> torch.device:
        return self.y.device

    def take(
        self,
        indices: Tensor,
        augment: Pipeline | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `Images.take`, decoded here and now. Raises DataError."""
        raw = torch.from_numpy(self.files[indices.tolist()])
        return self.made(raw, indices, augment, generator)

    def made(
        self,
        raw: Tensor,
        indices: Tensor,
        augment: Pipeline | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The batch of decoded images: as `take`, and by the same code as in memory."""
        x = raw.to(self.device, non_blocking=True)
        batch = Images(x=x, y=self.y[indices.to(self.device)], mean=self.mean, std=self.std)
        return batch.take(torch.arange(len(raw), device=self.device), augment, generator)

    def ahead(self, batches: Iterable[Tensor], *, workers: int | None = None) -> Iterator[Tensor]:
        """The decoded images of batches of indices, in order, decoded ahead of time."""
        plan = (chosen.tolist() for chosen in batches)
        return reading(self.files, plan, workers=workers, pin=self.device.type == "cuda")
