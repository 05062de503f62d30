"""What a task leaves on disk as it goes on: its log and its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load, save

from nasdsl.oneshot.ranks.world import ALONE, World
from nasdsl.training import checkpoint
from nasdsl.training.agreement import agree
from nasdsl.training.checkpoint import Checkpoint
from nasdsl.training.record import Log
from nasdsl.training.task import Task


class Kept:
    """The log and the checkpoints in a folder; nothing at all without one.

    Of several ranks the first alone reads and writes the folder, the others are sent what it read.
    """

    def __init__(
        self, folder: Path | None, tell: Callable[[str], None], world: World = ALONE
    ) -> None:
        self.folder, self.tell, self.world = folder, tell, world
        self.log: Log | None = None
        #: The last checkpoint that is known to be good.
        self.name: str | None = None

    @property
    def place(self) -> Path | None:
        """Where the checkpoints lie."""
        return None if self.folder is None else self.folder / "checkpoint"

    @property
    def last(self) -> Path | None:
        """The last good checkpoint."""
        if self.place is None or self.name is None:
            return None
        return self.place / self.name

    def restore(self, task: Task) -> tuple[int, int]:
        """Bring a task to its newest whole checkpoint; epoch and step it goes on with.

        A task without one is at its beginning, which is written down. Raises CheckpointError.
        """
        if self.folder is None or self.place is None:
            return 0, 0
        found = self.newest()
        if found is None:
            if self.world.writes:
                self.log = Log(self.folder / "log.jsonl", keep=0)
            self.save(task, 0, 0)
            return 0, 0
        for damage in found.damaged:
            self.tell(damage)
        if found.damaged:
            self.tell(f"going on from {self.place / found.name}, the last that is whole")
        epoch, step = int(found.values["epoch"]), int(found.values["step"])
        task.restore(found.tensors, found.values["task"])
        self.name = found.name
        if not self.world.writes:
            return epoch, step
        # What a kill kept from being taken away goes now: a run may have nothing more to write.
        names = [p.name for p in checkpoint.places(self.place)]
        checkpoint.tidy(self.place, set(names[names.index(found.name) :][:2]))
        self.log = Log(self.folder / "log.jsonl", keep=epoch, digest=found.values.get("log"))
        if self.log.note is not None:
            self.tell(f"{self.log.note}; the run goes on without them")
        return epoch, step

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint, as the first rank reads it. Raises CheckpointError."""
        place = self.place
        if place is None:
            return None
        if not self.world.several:
            return checkpoint.read(place)
        return _unpacked(self.world.told(lambda: _packed(checkpoint.read(place))))

    def add(self, record: dict[str, Any]) -> None:
        """Write down a finished epoch. Raises DiskError."""
        if self.log is not None:
            self.log.add(record)

    def save(self, task: Task, epoch: int, step: int) -> None:
        """Write a checkpoint. Raises DiskError; the last one then stands. Raises Disagreed."""
        if not self.world.several and (self.place is None or self.log is None):
            return
        tensors, values = task.state()
        agree((tensors, values), self.world, f"epoch {epoch}, step {step}")
        if self.place is None or self.log is None:
            return
        where = {"epoch": epoch, "step": step, "log": self.log.digest(), "task": values}
        name = f"epoch-{epoch}-step-{step}"
        checkpoint.write(self.place, name, tensors, where, before=self.name)
        self.name = name


def _packed(found: Checkpoint | None) -> bytes:
    """A checkpoint as bytes: the length of its text, the text, its tensors."""
    if found is None:
        return b""
    flat = {
        f"{g}|{n}": t.contiguous() for g, named in found.tensors.items() for n, t in named.items()
    }
    text = json.dumps({"name": found.name, "values": found.values}).encode()
    return len(text).to_bytes(8, "little") + text + save(flat)


def _unpacked(data: bytes) -> Checkpoint | None:
    if not data:
        return None
    end = 8 + int.from_bytes(data[:8], "little")
    text = json.loads(data[8:end])
    tensors: dict[str, dict[str, Any]] = {}
    for key, tensor in load(data[end:]).items():
        group, _, name = key.partition("|")
        tensors.setdefault(group, {})[name] = tensor
    return Checkpoint(tensors, text["values"], text["name"])
