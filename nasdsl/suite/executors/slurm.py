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

from nasdsl import disk
from nasdsl.suite.attend import Attended, answer, answered, arguments, last
from nasdsl.suite.cell import Task
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.executor import Ended, Limits
from nasdsl.suite.executors.ending import ended_of
from nasdsl.suite.executors.resources import Resources
from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.work import Means

#: Seconds between two questions to Slurm about jobs that have not answered.
LOOK = 15.0
#: The same while the suite is being stopped.
SOON = 3.0
#: Seconds until an answer of a job that is over must be seen, on a file system of a network.
LATE = 10.0
#: Seconds that a job has beyond the time limit of its cell: that ends first, with a checkpoint.
_MARGIN = 180.0
_GONE = "gone from the queue"
#: How the states of jobs begin that are over, those of submitit's own jobs among them.
_OVER = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "REVOKED", "TIMEOUT", _GONE, "FINISHED", "INTERRUPTED", "NO PROCESS",
)  # fmt: skip


@dataclass(slots=True)
class _Job:
    job: Any
    file: Path
    over: float | None = None
    state: str = ""


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
        file = self.folder.jobs / name
        states = _queue([number])
        if file.exists() or (states is not None and states.get(number, _GONE).startswith(_OVER)):
            return None
        return _Job(self.submitit.SlurmJob(folder=self.executor.folder, job_id=number), file)

    def ended(self) -> list[Ended]:
        """See Executor."""
        found, self.known = self.known, []
        now = time.monotonic()
        if self.running and now - self.looked > (SOON if self.stopping else LOOK):
            self.looked = now
            self._look(now)
        for digest, one in list(self.running.items()):
            attended = answered(one.file)
            if attended is None and (one.over is None or now - one.over < LATE):
                continue
            del self.running[digest]
            found.append(self._ended(digest, one, attended))
        return found

    def _look(self, now: float) -> None:
        """Note which jobs are over, as far as can be told."""
        if self.cluster != "slurm":
            states = {one.job.job_id: str(one.job.state) for one in self.running.values()}
        elif (asked := _queue([one.job.job_id for one in self.running.values()])) is None:
            return
        else:
            states = asked
        for one in self.running.values():
            one.state = states.get(one.job.job_id, _GONE)
            one.over = (one.over or now) if one.state.startswith(_OVER) else None

    def _ended(self, digest: str, one: _Job, attended: Attended | None) -> Ended:
        if attended is not None:
            return ended_of(self.folder, digest, attended, self.limits, self.stopping)
        if self.stopping:
            return Ended(digest=digest)
        said = last(self.folder.log(digest))
        why = f"; the last it said: {said}" if said else f"; see {self.folder.jobs}"
        error = f"job {one.job.job_id} ended without an answer ({one.state}){why}"
        return Ended(digest=digest, error=error)

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


def _queue(numbers: list[str]) -> dict[str, str] | None:
    """The states of jobs that the queue knows, by number; None where it could not be asked.

    Asked rather than the accounts, which not every cluster keeps; the queue forgets a job some
    minutes after its end.
    """
    try:
        found = subprocess.run(
            ["squeue", "--noheader", "--states=all", "--format=%i %T", f"--jobs={','.join(numbers)}"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    if found.returncode and "Invalid job id" not in found.stderr:
        return None
    lines = [line.split() for line in found.stdout.splitlines()]
    return {line[0]: line[1] for line in lines if len(line) == 2}
