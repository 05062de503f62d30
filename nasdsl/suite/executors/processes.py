"""Every cell in a process of this machine."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field

from nasdsl.suite.attend import GRACE, Attended, arguments, started
from nasdsl.suite.cell import Task
from nasdsl.suite.executor import Ended, Limits
from nasdsl.suite.executors.ending import ended_of
from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.work import Means


@dataclass(slots=True)
class _Running:
    process: subprocess.Popen[bytes]
    began: float
    late: bool = False


@dataclass(slots=True)
class Processes:
    """Every cell in a process of this machine, with a log; so many at once."""

    folder: SuiteFolder
    means: Means
    limits: Limits
    running: dict[str, _Running] = field(default_factory=dict)
    stopping: bool = False

    def room(self) -> bool:
        """See Executor."""
        return len(self.running) < self.limits.jobs

    def start(self, task: Task) -> None:
        """See Executor."""
        digest = task.cell.digest
        self.folder.write_task(task)
        process = started(arguments(self.folder, digest, self.means), self.folder.log(digest))
        self.running[digest] = _Running(process, time.perf_counter())

    def ended(self) -> list[Ended]:
        """See Executor."""
        found = []
        for digest, one in list(self.running.items()):
            seconds = time.perf_counter() - one.began
            limit = self.limits.seconds
            if limit is not None and seconds > limit and not one.late:
                one.late = True
                one.process.terminate()
            elif one.late and limit is not None and seconds > limit + GRACE:
                one.process.kill()
            code = one.process.poll()
            if code is None:
                continue
            del self.running[digest]
            if one.process.stdin is not None:
                one.process.stdin.close()
            attended = Attended(code=code, seconds=seconds, late=one.late)
            found.append(ended_of(self.folder, digest, attended, self.limits, self.stopping))
        return found

    def busy(self) -> bool:
        """See Executor."""
        return bool(self.running)

    def stop(self) -> None:
        """See Executor."""
        self.stopping = True
        for one in self.running.values():
            if one.process.poll() is None:
                one.process.terminate()

    def close(self) -> None:
        """Nothing is held."""
