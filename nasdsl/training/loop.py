"""The loop around every training: epochs, log, checkpoints, signals, progress; once.

A task knows how to make one step and what its state is; the loop knows when. It is the same for
search and retraining, so that both stop, resume and repeat in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from nasdsl.training import checkpoint
from nasdsl.training.interrupt import Stopped, listening
from nasdsl.training.record import Log

State = tuple[dict[str, dict[str, Tensor]], dict[str, Any]]
#: Told of every finished epoch and step: (epochs done, of how many, share of the epoch, record).
Watcher = Callable[["Moment"], None]


class Task(Protocol):
    """Something that is trained step by step."""

    name: str
    epochs: int
    steps_per_epoch: int

    def step(self, number: int) -> None:
        """Make step `number` (0-based over the whole run)."""
        ...

    def epoch_record(self, epoch: int) -> dict[str, Any]:
        """What is worth writing down of the epoch just ended; clears its meters."""
        ...

    def state(self) -> State:
        """Everything that a resumed run needs."""
        ...

    def restore(self, tensors: dict[str, dict[str, Tensor]], values: dict[str, Any]) -> None:
        """Put back what `state` gave. Raises CheckpointError."""
        ...


class Moment:
    """Where a run stands."""

    __slots__ = ("epochs", "record", "seconds", "step", "steps_per_epoch", "task")

    def __init__(
        self,
        task: str,
        step: int,
        steps_per_epoch: int,
        epochs: int,
        seconds: float,
        record: dict[str, Any] | None,
    ) -> None:
        self.task = task
        self.step = step
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs
        self.seconds = seconds
        self.record = record


def drive(
    task: Task,
    *,
    folder: Path | None,
    watch: Watcher | None = None,
    every: int = 1,
    wall_limit: float | None = None,
) -> list[dict[str, Any]]:
    """Run a task to its end, from its newest checkpoint if there is one; the records of its epochs.

    `every`: a checkpoint after so many epochs, and always at the end and on a signal.
    Raises Stopped after SIGINT or SIGTERM (a checkpoint is written first), CheckpointError.
    """
    total = task.epochs * task.steps_per_epoch
    start = 0
    found = checkpoint.read(folder / "checkpoint") if folder is not None else None
    if found is not None:
        task.restore(found.tensors, found.values["task"])
        start = int(found.values["step"])
    log = None
    if folder is not None:
        log = Log(folder / "log.jsonl", keep=start // task.steps_per_epoch)
    records: list[dict[str, Any]] = []
    began = time.perf_counter()

    def save(step: int) -> None:
        if folder is not None:
            tensors, values = task.state()
            checkpoint.write(folder / "checkpoint", step, tensors, {"task": values})

    with listening() as request:
        for number in range(start, total):
            task.step(number)
            done = number + 1
            record = None
            if done % task.steps_per_epoch == 0:
                epoch = done // task.steps_per_epoch
                record = {"epoch": epoch, "step": done, **task.epoch_record(epoch)}
                if log is not None:
                    log.add({**record, "seconds": round(time.perf_counter() - began, 3)})
                records.append(record)
                if epoch % every == 0 or done == total:
                    save(done)
            if watch is not None:
                seconds = time.perf_counter() - began
                watch(Moment(task.name, done, task.steps_per_epoch, task.epochs, seconds, record))
            late = wall_limit is not None and time.perf_counter() - began > wall_limit
            if (request.stop or late) and done < total:
                save(done)
                raise Stopped(f"stopped after step {done} of {total}")
    return records
