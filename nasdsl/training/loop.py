"""The loop around every training: epochs, log, checkpoints, signals, progress; once.

A task knows how to make one step and what its state is; the loop knows when. It is the same for
search and retraining, so that both stop, resume and repeat in the same way. Of several ranks all go
through it together, and the first writes and tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasdsl.oneshot.ranks.world import ALONE, World, amid
from nasdsl.training.agreement import agree
from nasdsl.training.diverged import diverged
from nasdsl.training.interrupt import Stopped, listening
from nasdsl.training.kept import Kept
from nasdsl.training.room import room
from nasdsl.training.task import Task

#: Told of every finished epoch and step: (epochs done, of how many, share of the epoch, record).
Watcher = Callable[["Moment"], None]
#: Told in a sentence what a person should know.
Teller = Callable[[str], None]


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
    tell: Teller | None = None,
    world: World = ALONE,
) -> list[dict[str, Any]]:
    """Run a task to its end, from its newest whole checkpoint if there is one; its records.

    `every`: a checkpoint after so many epochs, and always at the beginning, at the end and on a
    signal. `tell` is told what was found damaged. Raises Stopped after SIGINT or SIGTERM (a
    checkpoint is written first), Diverged, TooLarge, CheckpointError, DiskError; of several ranks
    also Disagreed, RankLost and Elsewhere.
    """
    kept = Kept(folder, tell or silent, world)
    records: list[dict[str, Any]] = []
    began = time.perf_counter()
    with listening() as request:
        first, skip = kept.restore(task)
        for epoch in range(first, task.epochs):
            if task.finished:
                break
            steps = task.begin(epoch)
            for number in range(skip if epoch == first else 0, steps):
                with room(task, world), amid():
                    task.step(epoch, number)
                record = None
                ended = number + 1 == steps
                # The host waits for the device once an epoch; on the CPU there is nothing to wait for.
                if (ended or task.on_cpu) and task.broken():
                    raise diverged(task, kept, epoch, number)
                if ended:
                    record = {"epoch": epoch + 1, **task.epoch_record(epoch)}
                    kept.add({**record, "seconds": round(time.perf_counter() - began, 3)})
                    records.append(record)
                last = ended and (epoch + 1 == task.epochs or task.finished)
                if last or (ended and (epoch + 1) % every == 0):
                    kept.save(task, epoch + 1, 0)
                elif ended and world.several:
                    agree(task.state(), world, f"after epoch {epoch + 1}")
                seconds = time.perf_counter() - began
                if watch is not None and world.writes:
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
                # A signal may reach the ranks in different steps.
                if world.any(request.stop or late) and not last:
                    kept.save(task, epoch + 1 if ended else epoch, 0 if ended else number + 1)
                    raise Stopped(
                        f"stopped in epoch {epoch + 1} of {task.epochs}, "
                        f"after step {number + 1} of {steps}"
                    )
    return records


def silent(message: str) -> None:
    """Where nobody is to be told."""
