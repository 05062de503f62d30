"""Cells one by one in this process."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nasdsl.suite.cell import Task
from nasdsl.suite.executor import Ended
from nasdsl.training.interrupt import Stopped


@dataclass(slots=True)
class Inline:
    """Cells one by one in this process."""

    perform: Callable[[Task], Mapping[str, Any]]
    done: list[Ended] = field(default_factory=list)

    def room(self) -> bool:
        """See Executor."""
        return not self.done

    def start(self, task: Task) -> None:
        """Do the cell; `ended` gives it out."""
        began = time.perf_counter()
        digest = task.cell.digest
        result = error = None
        stopped = False
        try:
            result = self.perform(task)
        except Stopped:
            stopped = True
        except Exception as problem:  # noqa: BLE001 - a cell that fails does not end the suite
            error = f"{type(problem).__name__}: {problem}"
        seconds = time.perf_counter() - began
        # Supernets point at themselves, and few objects hold much memory: left to itself Python
        # keeps the weights and batches of several finished cells.
        gc.collect()
        self.done.append(Ended(digest=digest, result=result, error=error, seconds=seconds))
        if stopped:
            os.kill(os.getpid(), signal.SIGINT)

    def ended(self) -> list[Ended]:
        """See Executor."""
        found, self.done = self.done, []
        return found

    def busy(self) -> bool:
        """See Executor."""
        return bool(self.done)

    def stop(self) -> None:
        """Nothing runs while this is asked."""

    def close(self) -> None:
        """Nothing is held."""
