"""A cell in a process of its own, and the one who waits for it: here, in a job, on another machine.

Nothing of this loads torch. The process holds the other end of a pipe: should the one who waits
die, it reads the end of the pipe and stops after a checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nasdsl import disk

if TYPE_CHECKING:
    from nasdsl.suite.folder import SuiteFolder
    from nasdsl.suite.work import Means

#: Exit code of a cell's process that was asked to stop and wrote a checkpoint.
STOPPED = 130
#: Seconds that a process has for its checkpoint, once asked to stop, until it is killed.
GRACE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attended:
    """How a process ended: its exit code, seconds, and whether it was ended for its time limit."""

    code: int
    seconds: float
    late: bool = False


def arguments(folder: SuiteFolder, digest: str, means: Means) -> list[str]:
    """What Python is called with to do a cell, wherever the folder is seen."""
    made = ["-m", "nasdsl", "suite", "cell", str(folder.path.resolve()), digest]
    made += ["--device", means.device]
    if means.threads is not None:
        made += ["--threads", str(means.threads)]
    if means.data_dir is not None:
        made += ["--data-dir", str(means.data_dir.resolve())]
    return made


def started(call: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """The process of a cell; what it says is added to its log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, *call],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def attend(call: Sequence[str], log: str, limit: float | None) -> Attended:
    """Do a cell and wait for it, at most so many seconds.

    Whatever ends the wait itself (a job that is cancelled) asks the process to stop first.
    """
    began = time.perf_counter()
    process = started(call, Path(log))
    late = False
    try:
        # Asked again and again: not every interruption reaches a process that waits for another.
        while process.poll() is None:
            if limit is not None and time.perf_counter() - began > limit:
                late = True
                _end(process)
            time.sleep(0.1)
    except BaseException:
        _end(process)
        raise
    seconds = time.perf_counter() - began
    return Attended(code=process.returncode, seconds=seconds, late=late)


def answer(call: Sequence[str], log: str, limit: float | None, to: str) -> None:
    """`attend`, and what came of it in a file: a job and who waits for it share nothing else."""
    found = attend(call, log, limit)
    made = {"code": found.code, "seconds": found.seconds, "late": found.late}
    disk.write(Path(to), json.dumps(made).encode("ascii"))


def answered(file: Path) -> Attended | None:
    """What `answer` wrote; None where it has not yet, or it cannot be read."""
    try:
        found = json.loads(file.read_text(encoding="ascii"))
        return Attended(code=found["code"], seconds=found["seconds"], late=found["late"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def problem(code: int, log: Path) -> str:
    """What went wrong in a process, by its exit code and the end of its log."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed from outside by {signal.Signals(-code).name}"
    return last(log) or f"exit code {code}"


def last(log: Path) -> str:
    """The last line of a log that says something."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def leave_with_parent() -> None:
    """Send this process SIGTERM once its standard input ends, as when its parent died.

    Schedulers announce the end of a job by SIGUSR2 (submitit asks for it); it means the same.
    """

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    if hasattr(signal, "SIGUSR2"):
        signal.signal(signal.SIGUSR2, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    threading.Thread(target=wait, daemon=True).start()
