"""What a tracker is, and how a run is told to several.

The log in the run folder is the record; trackers hold copies for looking at. None of them is
needed to run, none is imported unless it is asked for, and one that fails never ends a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from nasdsl.training.events import scalars
from nasdsl.training.loop import Moment, Watcher


class TrackError(ValueError):
    """A tracker is unknown or not installed."""


class Tracker(Protocol):
    """Numbers by tag, epoch by epoch."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """The numbers of an epoch (from 1); a step that is told again replaces what it told."""
        ...

    def end(self, status: str, values: Mapping[str, float]) -> None:
        """The run is `done`, `stopped` or `failed`; the numbers it ended with."""
        ...


#: Opens a tracker for a run: its folder, its name, its settings as text.
Opener = Callable[[Path, str, Mapping[str, str]], Tracker]


@dataclass(slots=True)
class Tracked:
    """Several trackers as one; `tell` is told of the ones that fail, which are then left out."""

    trackers: dict[str, Tracker]
    tell: Callable[[str], None]
    failed: list[str] = field(default_factory=list)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._each(lambda tracker: tracker.log(step, values))

    def end(self, status: str, values: Mapping[str, float]) -> None:
        self._each(lambda tracker: tracker.end(status, values))

    def _each(self, do: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            try:
                do(tracker)
            except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
                del self.trackers[name]
                self.failed.append(name)
                self.tell(f"{name} failed ({type(error).__name__}: {error}); the run goes on")

    def watching(self, watch: Watcher | None) -> Watcher:
        """A watcher that tells the trackers of every finished epoch, and `watch` of everything."""

        def tell(moment: Moment) -> None:
            if moment.record is not None:
                before = "" if moment.task == "search" else f"{moment.task}/"
                values = {f"{before}{tag}": value for tag, value in scalars(moment.record)}
                self.log(int(moment.record["epoch"]), values)
            if watch is not None:
                watch(moment)

        return tell


def opened(
    names: Sequence[str],
    openers: Mapping[str, Opener],
    folder: Path,
    name: str,
    settings: Mapping[str, str],
    tell: Callable[[str], None],
) -> Tracked:
    """The trackers of some names. Raises TrackError."""
    trackers: dict[str, Tracker] = {}
    for each in names:
        if each not in openers:
            raise TrackError(f"there is no tracker `{each}`; there are {', '.join(openers)}")
        try:
            trackers[each] = openers[each](folder, name, settings)
        except ImportError as error:
            raise TrackError(
                f"tracker `{each}`: {error.name or error} is not installed: "
                f"pip install 'nasdsl[{each}]'"
            ) from None
    return Tracked(trackers, tell)
