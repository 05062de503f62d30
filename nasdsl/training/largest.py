"""The largest batch a search has memory for: measured on CUDA, predicted on the CPU.

On CUDA steps are tried until one finds no memory. The CPU has no such end: it begins to swap, or the
system kills the process. There small steps are taken, and the most bytes of tensors that live at a
time say what an image costs, for that grows with the batch alone.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nasdsl.training.data.images import Images
from nasdsl.training.plan import PlanError
from nasdsl.training.room import fits, largest
from nasdsl.training.search import Search
from nasdsl.training.stand_alone import StandAlone

#: Share of the free memory of a CPU that tensors may take; what operators use within themselves, and
#: blocks that are too large, take the rest.
SHARE = 0.8
#: Steps whose paths are drawn, where a sampler runs one path: some need more than others.
DRAWS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Largest:
    """A batch that fits, `most` being all images of a pass; 0 where none does.

    `image` are the bytes that an image costs and `limit` those there are, where it was predicted.
    """

    batch: int
    most: int
    image: float | None = None
    limit: int | None = None


def largest_batch(task: Search | StandAlone, limit: int | None = None) -> Largest:
    """The largest batch of the first phase of a search, in at most `limit` bytes.

    The task is of no use behind it. Raises PlanError where free memory cannot be read.
    """
    most = len(task.inputs.parts.search_train)
    if isinstance(task, Search):
        task.late()
    if task.on_cpu:
        return _predicted(task, most, limit)
    with _limited(torch.device(task.device), limit):
        found = grown(lambda batch: _steps(task, batch), task.batch, most)
    return Largest(batch=found, most=most)


def grown(trial: Callable[[int], None], start: int, most: int) -> int:
    """The largest batch up to `most` that `trial` has memory for: doubled, then halved between."""
    known, tried = 0, min(start, most)
    while fits(trial, tried):
        known = tried
        if known == most:
            return known
        tried = min(2 * tried, most)
    return largest(trial, tried, known)


def _predicted(task: Search | StandAlone, most: int, limit: int | None) -> Largest:
    there = limit if limit is not None else int(SHARE * free())
    size = 2 * task.numerics.accumulate
    _steps(task, size)  # what optimizers remember is there from then on
    state = task.noise.get_state() if isinstance(task, Search) else None

    def peak(batch: int) -> int:
        if isinstance(task, Search) and state is not None:
            task.noise.set_state(state)  # the same paths in all
        with Peak(_known(task)) as found:
            _steps(task, batch)
        return found.most

    before, last = peak(size), most + 1
    while True:
        size *= 2
        now = peak(size)
        image = max(1.0, (now - before) / (size / 2))
        batch = max(0, min(most, int(size + (there - now) / image)))
        # Of what small batches are lost in (work of a kernel) large ones show nothing: the peak
        # bends upwards, and steps grow until it does no more.
        if 4 * size > batch or abs(batch - last) * 100 <= batch:
            return Largest(batch=batch, most=most, image=image, limit=there)
        before, last = now, batch


def _steps(task: Search | StandAlone, batch: int) -> None:
    one_hot = isinstance(task, Search) and task.session.parts.sampler.one_hot
    for _ in range(DRAWS if one_hot else 1):
        task.trial(batch)


@contextmanager
def _limited(device: torch.device, limit: int | None) -> Iterator[None]:
    """Inside, the device has so many bytes."""
    if limit is None:
        yield
        return
    whole = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / whole), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


class Peak(TorchDispatchMode):
    """The most bytes of tensors that live at a time, inside of it, beside those of `known`.

    What operators yield counts from then on until nobody holds it; memory they use within
    themselves does not. A block that is used again counts with what is used of it.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.most = self.now = 0
        self._seen = {k.untyped_storage().data_ptr() for k in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else (made,):
            if isinstance(each, Tensor):
                self._see(each)
        return made

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), tensor.numel() * tensor.element_size()
        if place in self._seen or not size:
            return
        self._seen.add(place)
        self.now += size
        self.most = max(self.most, self.now)
        # A storage that lives on without Python keeps its object.
        weakref.finalize(storage, self._gone, place, size).atexit = False

    def _gone(self, place: int, size: int) -> None:
        self._seen.discard(place)
        self.now -= size


def _known(task: Search | StandAlone) -> list[Tensor]:
    """What is there before a step."""
    networks = task.networks().values()
    held = [t for net in networks for t in (*net.parameters(), *net.buffers())]
    images = task.inputs.train
    if isinstance(images, Images):
        held.append(images.x)
    return [*held, images.y]


def free(system: Path = Path("/")) -> int:
    """Bytes of memory that are free, in a container those of it. Raises PlanError if unknown."""
    try:
        text = (system / "proc/meminfo").read_text(encoding="ascii")
        found = {n: v.split()[0] for n, _, v in (x.partition(":") for x in text.splitlines())}
        left = int(found["MemAvailable"]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        raise PlanError("free memory cannot be read here; say how much: --memory 8GB") from None
    group = system / "sys/fs/cgroup"
    try:
        limit, used = (
            int((group / name).read_text(encoding="ascii"))
            for name in ("memory.max", "memory.current")
        )
    except (OSError, ValueError):  # `max` where there is no limit
        return left
    return max(0, min(left, limit - used))
