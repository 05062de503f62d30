"""Every cell in a job of Slurm, submitted through submitit.

A job shares nothing with the worker but the folder of the suite, which every node must see. It
outlives a worker that is killed: the next one finds its number in `jobs/` and waits for it instead
of submitting another.
"""

from __future__ import annotations

import json
import math
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasdsl.suite.attend import Attended, answer, answered, arguments, last
from nasdsl.suite.cell import Task
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.executor import Ended, Limits
from nasdsl.suite.executors.ending import ended_of
from nasdsl.suite.executors.resources import Resources
from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.work import Means
from nasdsl.training import disk

#: Seconds between two questions to Slurm about jobs that have not answered.
LOOK = 15.0
#: The same while the suite is being stopped.
SOON = 3.0
#: Seconds until an answer of a job that is over must be seen, on a file system of a network.
LATE = 10.0
#: Seconds that a job has beyond the time limit of its cell: that ends first, with a checkpoint.
_MARGIN = 180.0
_OVER = ("CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")


@dataclass(slots=True)
class _Job:
    job: Any
    file: Path
    over: float | None = None


class Slurm:
    """Jobs of a cluster; `options` are those of `sbatch`. Raises SuiteError.

    `cluster` is that of submitit: its `local` runs jobs on this machine, for trying out.
    """

    def __init__(
        self,
        folder: SuiteFolder,
        means: Means,
        limits: Limits,
        resources: Resources,
        options: Mapping[str, str],
        cluster: str = "slurm",
    ) -> None:
        try:
            import submitit
        except ModuleNotFoundError:
            raise SuiteError(
                "submitit is not installed, jobs of Slurm need it: pip install 'nasdsl[slurm]'"
            ) from None
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise SuiteError("sbatch is not installed: cells are submitted where Slurm is")
        if limits.seconds is None:
            raise SuiteError("a job of Slurm has a time limit: give --time-limit, as 8h")
        self.submitit, self.cluster = submitit, cluster
        self.folder, self.means, self.limits = folder, means, limits
        self.running: dict[str, _Job] = {}
        self.known: list[Ended] = []
        self.stopping = False
        self.looked = -math.inf
        self.executor = submitit.AutoExecutor(folder.jobs.resolve(), cluster=cluster)
        cpus = resources.cpus
        self.executor.update_parameters(
            timeout_min=math.ceil((limits.seconds + _MARGIN) / 60),
            cpus_per_task=cpus,
            gpus_per_node=None if resources.gpus is None else int(resources.gpus),
            mem_gb=resources.memory,
            stderr_to_stdout=True,
            slurm_additional_parameters=dict(options),
            # Steps do not inherit the cores of their job in all versions of Slurm.
            slurm_srun_args=[] if cpus is None else [f"--cpus-per-task={cpus}"],
        )

    def room(self) -> bool:
        """See Executor."""
        return len(self.running) < self.limits.jobs

    def start(self, task: Task) -> None:
        """See Executor. Waits for a job of an earlier worker where there is one."""
        digest = task.cell.digest
        if (result := self.folder.outcome(digest)) is not None:
            self.known.append(Ended(digest=digest, result=result))
            return
        found = self._earlier(digest)
        self.running[digest] = self._submitted(task) if found is None else found

    def _note(self, digest: str) -> Path:
        return self.folder.jobs / f"{digest}.json"

    def _submitted(self, task: Task) -> _Job:
        digest = task.cell.digest
        self.folder.write_task(task)
        file = self.folder.jobs / f"{digest}-{secrets.token_hex(4)}.json"
        call = arguments(self.folder, digest, self.means)
        log = self.folder.log(digest).resolve()
        log.parent.mkdir(parents=True, exist_ok=True)
        self.executor.update_parameters(name=f"nasdsl-{digest}")
        try:
            job = self.executor.submit(
                answer, call, str(log), self.limits.seconds, str(file.resolve())
            )
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            said = [line for line in str(error).splitlines() if line.strip()]
            raise SuiteError(
                f"no job could be submitted: {said[-1] if said else error!r}"
            ) from None
        made = {"cluster": self.cluster, "job": job.job_id, "file": file.name}
        disk.write(self._note(digest), json.dumps(made).encode("ascii"))
        return _Job(job, file)

    def _earlier(self, digest: str) -> _Job | None:
        """A job for this cell that an earlier worker submitted, unless it is over."""
        try:
            found = json.loads(self._note(digest).read_text(encoding="ascii"))
            number, name = str(found["job"]), Path(found["file"]).name
            if found["cluster"] != "slurm" or self.cluster != "slurm":
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        job: Any = self.submitit.SlurmJob(folder=self.executor.folder, job_id=number)
        file = self.folder.jobs / name
        if file.exists() or self._over(job):
            return None
        return _Job(job, file)

    def ended(self) -> list[Ended]:
        """See Executor."""
        found, self.known = self.known, []
        now = time.monotonic()
        ask = bool(self.running) and now - self.looked > (SOON if self.stopping else LOOK)
        if ask:
            self.looked = now
            next(iter(self.running.values())).job.done(force_check=True)  # asks about all at once
        for digest, one in list(self.running.items()):
            attended = answered(one.file)
            if attended is None:
                if ask and one.over is None and self._over(one.job):
                    one.over = now
                if one.over is None or now - one.over < LATE:
                    continue
            del self.running[digest]
            found.append(self._ended(digest, one, attended))
        return found

    def _ended(self, digest: str, one: _Job, attended: Attended | None) -> Ended:
        if attended is not None:
            return ended_of(self.folder, digest, attended, self.limits, self.stopping)
        if self.stopping:
            return Ended(digest=digest)
        said = last(self.folder.log(digest))
        why = f"; the last it said: {said}" if said else f"; see {self.folder.jobs}"
        error = f"job {one.job.job_id} ended without an answer ({one.job.state}){why}"
        return Ended(digest=digest, error=error)

    def _over(self, job: Any) -> bool:
        """Whether a job has ended, as far as Slurm tells."""
        if job.done():
            return True
        return job.state == "UNKNOWN" and self.cluster == "slurm" and _forgotten(job.job_id)

    def busy(self) -> bool:
        """See Executor."""
        return bool(self.running or self.known)

    def stop(self) -> None:
        """See Executor. Slurm asks, and ends what has not stopped after its own time of grace."""
        self.stopping = True
        self.looked = -math.inf
        for one in self.running.values():
            one.job.cancel(check=False)

    def close(self) -> None:
        """Nothing is held."""


def _forgotten(number: str) -> bool:
    """Whether the queue does not know a job any more: where Slurm keeps no accounts, it alone does."""
    try:
        found = subprocess.run(
            ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={number}"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return False
    if found.returncode:
        return "Invalid job id" in found.stderr
    return found.stdout.strip().startswith(_OVER)
