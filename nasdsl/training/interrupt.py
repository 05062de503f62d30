"""Ctrl-C and SIGTERM ask a run to stop at the next step, after a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class Stopped(Exception):
    """The run was asked to stop; a checkpoint is written."""


@dataclass(slots=True)
class Request:
    """Whether a stop was asked for, and by which signal."""

    signal: int | None = None

    @property
    def stop(self) -> bool:
        return self.signal is not None


@contextmanager
def listening() -> Iterator[Request]:
    """Catches SIGINT and SIGTERM; a second one ends the process at once."""
    request = Request()

    def ask(number: int, frame: FrameType | None) -> None:
        if request.signal is not None:
            raise KeyboardInterrupt
        request.signal = number

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before[number] = signal.signal(number, ask)
        except ValueError:  # not in the main thread: the caller handles signals
            break
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
