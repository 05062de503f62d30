"""Batches of images, in memory or on disk: an endless training stream, and a plain pass.

Everything random is drawn from a generator seeded by (seed, name, pass, ...), so two integers say
exactly where a stream stands and there is no hidden state to lose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from nasdsl.oneshot.ranks.world import ALONE, World
from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.augment import Pipeline
from nasdsl.training.data.filed import Filed
from nasdsl.training.data.images import Images

__all__ = ["Evaluation", "Images", "Stream", "derived_generator", "derived_seed"]


def derived_seed(*parts: int | str) -> int:
    """A 32-bit seed that depends on every part and on their order (SHA-256).

    32 bits because torch's CPU generator uses no more of a seed.
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "little")


def derived_generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by `derived_seed(*parts)`."""
    return torch.Generator().manual_seed(derived_seed(*parts))


def _indices(images: Images | Filed, indices: ArrayLike, batch_size: int, name: str) -> Tensor:
    """The checked indices as a CPU tensor."""
    chosen = np.array(indices, dtype=np.int64).reshape(-1)
    if len(chosen) == 0:
        raise DataError(f"{name}: has no images; give this part of the split at least one")
    if chosen.min() < 0 or chosen.max() >= len(images):
        raise DataError(
            f"{name}: indices {chosen.min()}..{chosen.max()} leave the data, 0..{len(images) - 1}"
        )
    if batch_size < 1:
        raise DataError(f"{name}: batch is {batch_size}; expected a positive integer")
    return torch.from_numpy(chosen)


class Stream:
    """An endless stream of training batches that can be stopped and resumed exactly.

    Every pass is a fresh permutation of `indices`. A short last batch is dropped (one image alone
    breaks batch normalisation), unless the whole set is smaller than a batch: then every batch is
    the whole set. Permutations and augmentation depend on `seed`, `name` and the place in the
    stream alone, so streams of different names are independent.

    Of every batch a rank of a world takes its own part: together the ranks have the very batches of
    one process. Each of them augments the whole batch, as what is drawn belongs to all of it.
    """

    def __init__(
        self,
        images: Images | Filed,
        indices: ArrayLike,
        *,
        batch_size: int,
        seed: int,
        name: str,
        augment: Pipeline | None = None,
        world: World = ALONE,
    ) -> None:
        """Raises DataError if `indices` is empty or leaves the data, or the batch is too small."""
        self._images = images
        self._indices = _indices(images, indices, batch_size, name)
        self._batch = min(batch_size, len(self._indices))
        if world.several and self._batch < 2 * world.size:
            # One image alone breaks batch normalisation.
            raise DataError(
                f"{name}: a batch of {self._batch} leaves some of {world.size} ranks fewer than two "
                f"images; make it at least {2 * world.size}, or take fewer ranks"
            )
        self._part = world.part(self._batch)
        self._seed = seed
        self._name = name
        self._augment = augment
        self._pass = 0
        self._position = 0
        self._order: tuple[int, Tensor] | None = None  # (pass, indices): only to save time
        self._ahead: Iterator[Tensor] | None = None  # what is decoded of files to come

    def __len__(self) -> int:
        """The number of images in the stream's set."""
        return len(self._indices)

    @property
    def batch(self) -> int:
        """Images in a batch, over all ranks."""
        return self._batch

    @property
    def batches_per_pass(self) -> int:
        """Batches in one pass over the set, at least 1."""
        return len(self._indices) // self._batch

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """The next (x, y): float32 NCHW and int64 labels, on the device of the images.

        Of several ranks, each has its part.
        """
        if self._position == self.batches_per_pass:
            self._pass, self._position = self._pass + 1, 0
        start = self._position * self._batch
        if self._order is None or self._order[0] != self._pass:
            self._order = self._pass, self._permuted(self._pass).to(self._images.device)
        chosen = self._order[1][start : start + self._batch]
        generator = None
        if self._augment is not None:
            generator = derived_generator(
                self._seed, self._name, "augment", self._pass, self._position
            )
        if isinstance(self._images, Images):
            if self._augment is None:
                # Nothing is drawn for the whole batch.
                self._position += 1
                return self._images.take(chosen[self._part])
            made = self._images.take(chosen, self._augment, generator)
        else:
            if self._ahead is None:
                self._ahead = self._images.ahead(self._to_come())
            made = self._images.made(next(self._ahead), chosen, self._augment, generator)
        self._position += 1
        x, y = made
        return x[self._part], y[self._part]

    def _permuted(self, passed: int) -> Tensor:
        return _permuted(self._indices, self._seed, self._name, passed)

    def _to_come(self) -> Iterator[Tensor]:
        """The indices of all batches from here on."""
        place = self._pass, self._position
        return _to_come(self._indices, self._seed, self._name, self._batch, place)

    def state(self) -> tuple[int, int]:
        """(pass, batches already taken from it): all that `restore` needs."""
        return self._pass, self._position

    def restore(self, state: Sequence[int]) -> None:
        """Continue from a state of a stream with the same arguments.

        Raises DataError if no such stream can have that state.
        """
        passed, position = (int(value) for value in state)
        if passed < 0 or not 0 <= position <= self.batches_per_pass:
            raise DataError(
                f"{self._name}: cannot resume at batch {position} of pass {passed}; a pass has "
                f"{self.batches_per_pass} batches (was the batch size or the split changed?)"
            )
        self._pass, self._position = passed, position
        self._ahead = None


def _permuted(indices: Tensor, seed: int, name: str, passed: int) -> Tensor:
    generator = derived_generator(seed, name, "order", passed)
    return indices[torch.randperm(len(indices), generator=generator)]


def _to_come(
    indices: Tensor, seed: int, name: str, batch: int, place: tuple[int, int]
) -> Iterator[Tensor]:
    """The indices of batches from a place on, for ever.

    It knows no stream: one that is dropped takes the processes that decode for it along.
    """
    passed, position = place
    while True:
        order = _permuted(indices, seed, name, passed)
        for k in range(position, len(indices) // batch):
            yield order[k * batch : (k + 1) * batch]
        passed, position = passed + 1, 0


class Evaluation:
    """Batches of every image once, in the given order, never augmented; the last may be short."""

    def __init__(
        self,
        images: Images | Filed,
        indices: ArrayLike,
        *,
        batch_size: int,
        name: str = "evaluation",
    ) -> None:
        """Raises DataError if `indices` is empty or leaves the data, or the batch is below 1."""
        chosen = _indices(images, indices, batch_size, name)
        self._images = images
        self._batches = torch.split(chosen.to(images.device), batch_size)
        self._count = len(chosen)

    @property
    def count(self) -> int:
        """The number of images in a pass."""
        return self._count

    def __len__(self) -> int:
        """The number of batches in a pass."""
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self._images, Images):
            for chosen in self._batches:
                yield self._images.take(chosen)
            return
        # A batch or two are decoded before a process has begun.
        workers = 0 if len(self._batches) <= 2 else None
        decoded = self._images.ahead(self._batches, workers=workers)
        for chosen, raw in zip(self._batches, decoded, strict=True):
            yield self._images.made(raw, chosen)
