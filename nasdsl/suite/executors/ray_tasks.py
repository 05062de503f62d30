"""Every cell in a task of Ray: a cluster that runs, or one on this machine for as long as it takes.

Tasks call the same process as everything else, and what they say goes to its log; every node must
see the folder of the suite. Tasks end with the worker that started them.
"""

from __future__ import annotations

from typing import Any

from nasdsl.suite.attend import Attended, arguments, attend
from nasdsl.suite.cell import Task
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.executor import Ended, Limits
from nasdsl.suite.executors.ending import ended_of
from nasdsl.suite.executors.resources import Resources
from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.work import Means


class RayTasks:
    """Tasks of the cluster at an address, else of one that is started here. Raises SuiteError."""

    def __init__(
        self,
        folder: SuiteFolder,
        means: Means,
        limits: Limits,
        resources: Resources,
        address: str | None = None,
    ) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise SuiteError(
                "ray is not installed, tasks of Ray need it: pip install 'nasdsl[ray]'"
            ) from None
        self.ray: Any = ray
        self.folder, self.means, self.limits = folder, means, limits
        self.running: dict[str, Any] = {}
        self.stopping = False
        own = {} if address is not None else {"include_dashboard": False}
        try:
            self.ray.init(address=address, log_to_driver=False, logging_level="error", **own)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise SuiteError(f"no cluster of Ray: {_line(error)}") from None
        asked: dict[str, Any] = {
            "num_cpus": resources.cpus,
            "num_gpus": resources.gpus,
            "memory": None if resources.memory is None else int(resources.memory * 2**30),
        }
        asked = {k: v for k, v in asked.items() if v is not None}
        if address is None:
            self._fits(asked)
        self.remote = self.ray.remote(attend).options(max_retries=0, **asked)

    def _fits(self, asked: dict[str, Any]) -> None:
        """Refuse what this machine never gives: Ray would wait for it. Raises SuiteError."""
        there = self.ray.cluster_resources()
        for what, name in (("num_cpus", "CPU"), ("num_gpus", "GPU"), ("memory", "memory")):
            if asked.get(what, 0) > there.get(name, 0):
                self.close()
                raise SuiteError(
                    f"a cell asks for {asked[what]:g} of {name}, this machine has "
                    f"{there.get(name, 0):g}; --ray-address names a cluster"
                )

    def room(self) -> bool:
        """See Executor."""
        return len(self.running) < self.limits.jobs

    def start(self, task: Task) -> None:
        """See Executor."""
        digest = task.cell.digest
        self.folder.write_task(task)
        log = self.folder.log(digest).resolve()
        call = arguments(self.folder, digest, self.means)
        self.running[digest] = self.remote.remote(call, str(log), self.limits.seconds)

    def ended(self) -> list[Ended]:
        """See Executor."""
        if not self.running:
            return []
        refs = list(self.running.values())
        done, _ = self.ray.wait(refs, num_returns=len(refs), timeout=0)
        found = []
        for digest, ref in list(self.running.items()):
            if ref in done:
                del self.running[digest]
                found.append(self._ended(digest, ref))
        return found

    def _ended(self, digest: str, ref: Any) -> Ended:
        try:
            attended: Attended = self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            if self.stopping:
                return Ended(digest=digest)
            return Ended(digest=digest, error=f"{type(error).__name__}: {_line(error)}")
        return ended_of(self.folder, digest, attended, self.limits, self.stopping)

    def busy(self) -> bool:
        """See Executor."""
        return bool(self.running)

    def stop(self) -> None:
        """See Executor."""
        self.stopping = True
        for ref in self.running.values():
            self.ray.cancel(ref)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self.ray.shutdown()


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
