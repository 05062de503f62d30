"""The loop around every training: epochs, log, checkpoints, signals, progress; once.

A task knows how to make one step and what its state is; the loop knows when. It is the same for
search and retraining, so that both stop, resume and repeat in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
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

    def begin(self, epoch: int) -> int:
        """Get ready for an epoch (0-based), also after a restore in its midst; its steps."""
        ...

    def step(self, epoch: int, number: int) -> None:
        """Make step `number` of an epoch (both 0-based)."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the task wants no further epoch."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where a run stands: `step` of `steps` in epoch `epoch` (0-based) of `epochs`."""

    task: str
    epoch: int
    epochs: int
    step: int
    steps: int
    seconds: float
    record: dict[str, Any] | None

    @property
    def done(self) -> float:
        """The share of the task that is done."""
        return (self.epoch + self.step / self.steps) / self.epochs


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
    first, skip = 0, 0
    found = checkpoint.read(folder / "checkpoint") if folder is not None else None
    if found is not None:
        task.restore(found.tensors, found.values["task"])
        first, skip = int(found.values["epoch"]), int(found.values["step"])
    log = Log(folder / "log.jsonl", keep=first) if folder is not None else None
    records: list[dict[str, Any]] = []
    began = time.perf_counter()

    def save(epoch: int, step: int) -> None:
        if folder is not None:
            tensors, values = task.state()
            where = {"epoch": epoch, "step": step, "task": values}
            checkpoint.write(folder / "checkpoint", f"epoch-{epoch}-step-{step}", tensors, where)

    with listening() as request:
        for epoch in range(first, task.epochs):
            if task.finished:
                break
            steps = task.begin(epoch)
            for number in range(skip if epoch == first else 0, steps):
                task.step(epoch, number)
                record = None
                ended = number + 1 == steps
                if ended:
                    record = {"epoch": epoch + 1, **task.epoch_record(epoch)}
                    if log is not None:
                        log.add({**record, "seconds": round(time.perf_counter() - began, 3)})
                    records.append(record)
                last = ended and (epoch + 1 == task.epochs or task.finished)
                if last or (ended and (epoch + 1) % every == 0):
                    save(epoch + 1, 0)
                seconds = time.perf_counter() - began
                if watch is not None:
                    watch(
                        Moment(
                            task=task.name,
                            epoch=epoch,
                            epochs=task.epochs,
                            step=number + 1,
                            steps=steps,
                            seconds=seconds,
                            record=record,
                        )
                    )
                late = wall_limit is not None and time.perf_counter() - began > wall_limit
                if (request.stop or late) and not last:
                    save(epoch + 1 if ended else epoch, 0 if ended else number + 1)
                    raise Stopped(
                        f"stopped in epoch {epoch + 1} of {task.epochs}, "
                        f"after step {number + 1} of {steps}"
                    )
    return records
