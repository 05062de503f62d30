"""Processes that decode images ahead of time.

They draw nothing: they turn indices into bytes. What is random happens where training does, as for
images in memory, so batches have the same bits for any number of processes. The n-th of them has
every n-th batch, and room for a few in memory that it shares with this process. That a process
ended is seen where its next batch is asked for, and nowhere else.
"""

from __future__ import annotations

import atexit
import contextlib
import mmap
import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.files import Files

#: Batches that every process decodes ahead.
AHEAD = 2


def reading(
    files: Files, batches: Iterable[Sequence[int]], *, workers: int | None = None, pin: bool = False
) -> Iterator[Tensor]:
    """The decoded batches in order, uint8 on the CPU; no batch is larger than the first.

    Processes live as long as the iterator. `pin` puts batches into memory that a CUDA device copies
    from by itself. Raises DataError, also where a process ended by itself.
    """
    count = files.workers if workers is None else workers
    plan = iter(batches)
    first = next(plan, None)
    if first is None:
        return
    # Elsewhere a process cannot be forked, or not once libraries have threads.
    if count == 0 or not sys.platform.startswith("linux"):
        for chosen in _chained(first, plan):
            yield _fresh(torch.from_numpy(files[chosen]), pin)
        return
    team = [Worker.begin(files, len(first)) for _ in range(count)]
    try:
        yield from _ahead(team, _chained(first, plan), pin)
    finally:
        for worker in team:
            worker.end()


def _chained(first: Sequence[int], rest: Iterator[Sequence[int]]) -> Iterator[Sequence[int]]:
    yield first
    yield from rest


def _fresh(raw: Tensor, pin: bool) -> Tensor:
    return raw.pin_memory() if pin else raw


def _ahead(team: list[Worker], plan: Iterator[Sequence[int]], pin: bool) -> Iterator[Tensor]:
    """Batches by turns; as soon as one is taken the next is asked for."""
    turns: deque[Worker] = deque()
    for _ in range(AHEAD):
        for worker in team:
            chosen = next(plan, None)
            if chosen is not None:
                worker.ask(chosen)
                turns.append(worker)
    while turns:
        worker = turns.popleft()
        made = _fresh(worker.take(), pin)
        chosen = next(plan, None)
        if chosen is not None:
            worker.ask(chosen)
            turns.append(worker)
        yield made


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """One process, as this process sees it."""

    process: BaseProcess
    line: Connection
    room: NDArray[np.uint8]
    slot: int = 0
    #: The places and sizes of the batches that were asked for.
    asked: deque[tuple[int, int]] = field(default_factory=deque)

    @classmethod
    def begin(cls, files: Files, batch: int) -> Worker:
        """A process with room for batches of so many images."""
        context = multiprocessing.get_context("fork")
        shape = (AHEAD, batch, *files.shape[1:])
        # Memory of no file: /dev/shm is small in many containers.
        room = np.frombuffer(mmap.mmap(-1, int(np.prod(shape))), np.uint8).reshape(shape)
        here, there = context.Pipe()
        process = context.Process(
            target=_serve, args=(files, room, here, there), daemon=True, name="nasdsl images"
        )
        process.start()
        there.close()
        made = cls(process=process, line=here, room=room)
        atexit.register(made.end)
        return made

    def ask(self, chosen: Sequence[int]) -> None:
        """Have a batch decoded."""
        self.asked.append((self.slot, len(chosen)))
        with contextlib.suppress(OSError):  # `take` will say so
            self.line.send((self.slot, list(chosen)))
        self.slot = (self.slot + 1) % AHEAD

    def take(self) -> Tensor:
        """The batch that was asked for first. Raises DataError."""
        slot, count = self.asked.popleft()
        try:
            wrong = self.line.recv()
        except (EOFError, OSError):
            raise DataError(
                "a process that decodes images ended by itself (killed, or out of memory?); "
                "`--resume` goes on from the last checkpoint, `workers = 1` needs less memory"
            ) from None
        if wrong is not None:
            raise DataError(wrong)
        return torch.from_numpy(self.room[slot, :count].copy())

    def end(self) -> None:
        """Have the process end; what it was asked for is lost."""
        atexit.unregister(self.end)
        self.line.close()
        self.process.kill()
        self.process.join()


def _serve(files: Files, room: NDArray[np.uint8], other: Connection, line: Connection) -> None:
    """Decode what is asked for until nobody asks any more."""
    other.close()
    # Ctrl-C reaches every process, and so may SIGTERM: the one that trains says when to stop, by
    # closing the line. Its end, however it comes, closes that as well.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    try:
        while True:
            slot, chosen = line.recv()
            wrong = None
            try:
                files.decode(chosen, room[slot, : len(chosen)])
            except DataError as error:
                wrong = str(error)
            line.send(wrong)
    except (EOFError, OSError):
        return
