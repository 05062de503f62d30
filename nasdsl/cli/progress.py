"""How a run shows where it is: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Any

import click

from nasdsl.training.loop import Moment


class Progress:
    """Watches a run; use as a context."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.bar: Any = None
        self.tasks: dict[str, Any] = {}
        self.first: dict[str, float] = {}

    def __enter__(self) -> Progress:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self.bar = Progress(
                TextColumn("{task.description:8}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[epoch]}"),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=False,
            )
            self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, moment: Moment) -> None:
        """Told of every step."""
        if self.bar is not None:
            self._bar(moment)
        elif not self.quiet and moment.record is not None:
            click.echo(self._line(moment), err=True)

    def _bar(self, moment: Moment) -> None:
        if moment.task not in self.tasks:
            self.tasks[moment.task] = self.bar.add_task(moment.task, total=1.0, epoch="", note="")
        fields = {"epoch": f"{moment.epoch + 1}/{moment.epochs}"}
        if moment.record is not None:
            fields["note"] = note(moment.record)
        self.bar.update(self.tasks[moment.task], completed=moment.done, **fields)

    def _line(self, moment: Moment) -> str:
        # The time left follows from what this process has done, not from before a resume.
        first = self.first.setdefault(moment.task, moment.epoch / moment.epochs)
        done = moment.done - first
        left = moment.seconds / max(1e-9, done) * (1 - moment.done)
        return (
            f"{moment.task:8} epoch {moment.epoch + 1:>{len(str(moment.epochs))}}/{moment.epochs}  "
            f"{note(moment.record or {})}  eta {clock(left)}"
        )


def note(record: dict[str, Any]) -> str:
    """The numbers of an epoch that a person wants to see."""
    parts = []
    for part in ("train", "valid"):
        if part in record:
            parts.append(f"{part} {record[part]['loss']:.3f} {record[part]['accuracy']:5.1f}%")
    if "entropy" in record:
        mean = sum(record["entropy"].values()) / max(1, len(record["entropy"]))
        parts.append(f"entropy {mean:.3f}")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
