"""Workers: they claim cells and have them done, one by one or in processes of their own.

An executor starts a cell and says later how it ended; the loop around it is the same for all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.store import Store, Stored, worker_name
from nasdsl.suite.work import Means
from nasdsl.training.interrupt import Stopped, listening
from nasdsl.training.record import RunFolder

#: Exit code of a cell's process that was asked to stop and wrote a checkpoint.
STOPPED = 130


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

    def start(self, stored: Stored) -> None:
        """Begin a cell."""
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


@dataclass(slots=True)
class Inline:
    """Cells one by one in this process."""

    perform: Callable[[Stored], Mapping[str, Any]]
    done: list[Ended] = field(default_factory=list)

    def room(self) -> bool:
        return not self.done

    def start(self, stored: Stored) -> None:
        began = time.perf_counter()
        digest = stored.cell.digest
        result = error = None
        stopped = False
        try:
            result = self.perform(stored)
        except Stopped:
            stopped = True
        except Exception as problem:  # noqa: BLE001 - a cell that fails does not end the suite
            error = f"{type(problem).__name__}: {problem}"
        seconds = time.perf_counter() - began
        self.done.append(Ended(digest=digest, result=result, error=error, seconds=seconds))
        if stopped:
            os.kill(os.getpid(), signal.SIGINT)

    def ended(self) -> list[Ended]:
        found, self.done = self.done, []
        return found

    def busy(self) -> bool:
        return bool(self.done)

    def stop(self) -> None:
        """Nothing runs while this is asked."""


@dataclass(slots=True)
class _Running:
    process: subprocess.Popen[bytes]
    began: float
    late: bool = False


@dataclass(slots=True)
class Processes:
    """Every cell in a process of this machine, with a log; so many at once.

    The processes hold the other end of a pipe: should this process die, they read its end and
    stop after a checkpoint.
    """

    folder: SuiteFolder
    means: Means
    limits: Limits
    running: dict[str, _Running] = field(default_factory=dict)
    stopping: bool = False

    def room(self) -> bool:
        return len(self.running) < self.limits.jobs

    def start(self, stored: Stored) -> None:
        digest = stored.cell.digest
        log = self.folder.log(digest)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "nasdsl", "suite", "cell", str(self.folder.path), digest]
        command += ["--device", self.means.device]
        if self.means.threads is not None:
            command += ["--threads", str(self.means.threads)]
        if self.means.data_dir is not None:
            command += ["--data-dir", str(self.means.data_dir)]
        with log.open("ab") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
            )
        self.running[digest] = _Running(process, time.perf_counter())

    def ended(self) -> list[Ended]:
        found = []
        for digest, one in list(self.running.items()):
            seconds = time.perf_counter() - one.began
            limit = self.limits.seconds
            if limit is not None and seconds > limit and not one.late:
                one.late = True
                one.process.terminate()
            elif one.late and limit is not None and seconds > limit + 30:
                one.process.kill()
            code = one.process.poll()
            if code is None:
                continue
            del self.running[digest]
            if one.process.stdin is not None:
                one.process.stdin.close()
            found.append(self._ended(digest, code, one, seconds))
        return found

    def _ended(self, digest: str, code: int, one: _Running, seconds: float) -> Ended:
        place = RunFolder(self.folder.cell(digest))
        if code == 0 and place.has("outcome.json"):
            return Ended(digest=digest, result=place.read("outcome.json"), seconds=seconds)
        if one.late:
            error = f"time limit of {self.limits.seconds:g} s"
        elif code == STOPPED or self.stopping:
            return Ended(digest=digest, seconds=seconds)
        else:
            error = _last(self.folder.log(digest)) or f"exit code {code}"
        return Ended(digest=digest, error=error, seconds=seconds)

    def busy(self) -> bool:
        return bool(self.running)

    def stop(self) -> None:
        self.stopping = True
        for one in self.running.values():
            if one.process.poll() is None:
                one.process.terminate()


def _last(log: Path) -> str:
    """The last line of a log that says something."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def run(
    store: Store,
    executor: Executor,
    limits: Limits,
    tell: Callable[[Stored], None] = lambda _: None,
) -> None:
    """Work on a store until nothing is left to do, by this worker or another.

    `tell` hears of every cell that ended here. Raises Stopped after SIGINT or SIGTERM, with all
    claims given back.
    """
    worker = worker_name()
    beaten = time.monotonic()
    with listening() as request:
        while True:
            for e in executor.ended():
                _settle(store, worker, e, limits)
                tell(store.get(e.digest))
            if request.stop:
                break
            started = False
            if executor.room() and (claimed := store.claim(worker)) is not None:
                executor.start(claimed)
                started = True
            if not started and not executor.busy() and store.idle():
                return
            if time.monotonic() - beaten > 10:
                store.beat(worker)
                beaten = time.monotonic()
            if not started:
                time.sleep(0.1)
        executor.stop()
        while executor.busy():
            for e in executor.ended():
                _settle(store, worker, e, limits)
            time.sleep(0.05)
        raise Stopped("stopped; the cells that ran have written checkpoints")


def _settle(store: Store, worker: str, ended: Ended, limits: Limits) -> None:
    if ended.result is not None:
        store.finish(ended.digest, worker, ended.result, ended.seconds)
    elif ended.error is not None:
        store.fail(ended.digest, worker, ended.error, retries=limits.retries, seconds=ended.seconds)
    else:
        store.release(ended.digest, worker, ended.seconds)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Only one process at a time works in a folder: an older one is waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            import fcntl
        except ImportError:  # no such locks on this system: the store's claims are what there is
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def leave_with_parent() -> None:
    """Send this process SIGTERM once its standard input ends, as when its parent died."""

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
