"""The loop of a worker: it claims cells and has them done until nothing is left.

An executor starts a cell and says later how it ended; the loop around it is the same for all.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nasdsl.suite.cell import Task
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.store import Store, Stored
from nasdsl.suite.worker import BEAT, worker_name
from nasdsl.training.interrupt import Stopped, listening

#: Seconds between two looks for a cell to claim, at first and at most.
_PAUSES = (0.1, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How cells are run: at once, again after a failure, seconds until one is ended."""

    jobs: int = 1
    retries: int = 1
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a cell ended: with a result, with an error, or (neither) because it was stopped."""

    digest: str
    result: Mapping[str, Any] | None = None
    error: str | None = None
    seconds: float = 0.0


class Executor(Protocol):
    """Where cells are done."""

    def room(self) -> bool:
        """Whether another cell can be started now."""
        ...

    def start(self, task: Task) -> None:
        """Begin a cell. Raises SuiteError where it cannot be begun."""
        ...

    def ended(self) -> list[Ended]:
        """Cells that have come to an end since it was asked last."""
        ...

    def busy(self) -> bool:
        """Whether a cell is being done."""
        ...

    def stop(self) -> None:
        """Ask all cells to stop after a checkpoint; `ended` tells when they have."""
        ...

    def close(self) -> None:
        """Let go of what cells are done with."""
        ...


def run(
    store: Store,
    executor: Executor,
    limits: Limits,
    tell: Callable[[Stored], None] = lambda _: None,
) -> None:
    """Work on a store until nothing is left to do, by this worker or another.

    `tell` hears of every cell that ended here. Raises Stopped after SIGINT or SIGTERM, with all
    claims given back; SuiteError where the store or the executor is lost.
    """
    worker = worker_name()
    held: set[str] = set()

    def settle(tell: Callable[[Stored], None] | None = None) -> bool:
        found = executor.ended()
        for e in found:
            _settle(store, worker, e, limits)
            held.discard(e.digest)
            if tell is not None:
                tell(store.get(e.digest))
        return bool(found)

    with listening() as request, _beating(store, worker, held):
        pause, look = _PAUSES[0], 0.0
        try:
            while not request.stop:
                if settle(tell):
                    pause, look = _PAUSES[0], 0.0
                if not executor.room() or time.monotonic() < look:
                    time.sleep(_PAUSES[0])
                elif (claimed := store.claim(worker)) is not None:
                    held.add(claimed.cell.digest)
                    _begin(store, worker, executor, claimed, held)
                    pause = _PAUSES[0]
                elif not executor.busy() and store.idle():
                    return
                else:
                    # The fewer cells come free, the less a server is asked for them.
                    look, pause = time.monotonic() + pause, min(2 * pause, _PAUSES[1])
        finally:
            if executor.busy():
                executor.stop()
                while executor.busy():
                    settle()
                    time.sleep(0.05)
        raise Stopped("stopped; the cells that ran have written checkpoints")


def _begin(store: Store, worker: str, executor: Executor, claimed: Stored, held: set[str]) -> None:
    """Start a claimed cell; what cannot be started is given back."""
    digest = claimed.cell.digest
    try:
        executor.start(store.task(claimed))
    except BaseException:
        held.discard(digest)
        with contextlib.suppress(SuiteError):
            store.release(digest, worker)
        raise


def _settle(store: Store, worker: str, ended: Ended, limits: Limits) -> None:
    if ended.result is not None:
        store.finish(ended.digest, worker, ended.result, ended.seconds)
    elif ended.error is not None:
        store.fail(ended.digest, worker, ended.error, retries=limits.retries, seconds=ended.seconds)
    else:
        store.release(ended.digest, worker, ended.seconds)


@contextlib.contextmanager
def _beating(store: Store, worker: str, held: set[str]) -> Iterator[None]:
    """A thread that says that this worker is alive, also while a cell is done in this process."""
    over = threading.Event()

    def beat() -> None:
        own: Store | None = None
        while not over.wait(BEAT):
            # A store that is lost is said by the loop; here it is tried again.
            with contextlib.suppress(SuiteError):
                own = own or store.another()
                own.beat(worker, list(held))  # copied in one step: the loop changes it
        if own is not None:
            own.close()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(BEAT)
