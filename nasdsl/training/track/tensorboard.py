"""TensorBoard event files in the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoard:
    """Event files in `RUN/events`; `tensorboard --logdir RUN` shows them."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, str]) -> None:
        # Asked for by name: without it torch would name another package.
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.make = folder / "events", SummaryWriter
        self.text = "\n".join(f"    {k} = {v}" for k, v in settings.items())
        self.writers: dict[str, Any] = {}

    def _writer(self, tags: Mapping[str, float], step: int) -> Any:
        # A task counts its epochs from one, so each has its own files.
        task = "retrain" if any(t.startswith("retrain/") for t in tags) else "search"
        if task not in self.writers:
            # A resumed run repeats what its checkpoint does not know.
            made = self.make(str(self.folder / task), purge_step=step)
            made.add_text("settings", self.text, step)
            self.writers[task] = made
        return self.writers[task]

    def log(self, step: int, values: Mapping[str, float]) -> None:
        writer = self._writer(values, step)
        for tag, value in values.items():
            writer.add_scalar(tag, value, step)
        writer.flush()

    def end(self, status: str, values: Mapping[str, float]) -> None:
        for writer in self.writers.values():
            writer.close()
