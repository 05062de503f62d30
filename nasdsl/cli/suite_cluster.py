"""`--executor` of `suite run`, and what its cells ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from nasdsl.cli.running import pairs

if TYPE_CHECKING:
    from nasdsl.suite.executor import Executor, Limits
    from nasdsl.suite.folder import SuiteFolder
    from nasdsl.suite.work import Means

#: Cells at once where a cluster has a queue of its own.
QUEUED = 100
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[float]):
    """`90`, `90s`, `30m`, `8h`, `2d`, in seconds."""

    name = "duration"

    def convert(
        self, value: str | float, param: click.Parameter | None, context: click.Context | None
    ) -> float:
        """The seconds, more than none."""
        text = str(value).strip().lower()
        unit = _UNITS.get(text[-1:])
        try:
            seconds = float(text if unit is None else text[:-1]) * (unit or 1)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            self.fail(f"`{value}` is no duration: 90s, 30m, 8h or 2d")
        return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was said about where cells are done."""

    executor: str
    inline: bool
    cpus: int | None
    gpus: float | None
    memory: float | None
    partition: str | None
    account: str | None
    qos: str | None
    sbatch: Mapping[str, str]
    ray_address: str | None

    @property
    def here(self) -> bool:
        """Whether cells are done by this machine."""
        return self.executor == "local"

    def check(self, time_limit: float | None) -> None:
        """Refuse what does not go together. Raises UsageError."""
        slurm = {
            "--partition": self.partition, "--account": self.account, "--qos": self.qos,
            "--sbatch": self.sbatch or None,
        }  # fmt: skip
        amounts = {"--cpus": self.cpus, "--gpus": self.gpus, "--memory": self.memory}
        if self.here:
            hint = "; --threads and -j are for this machine"
            _none(amounts, f"asks a cluster: it needs --executor slurm or ray{hint}")
        elif self.inline:
            raise click.UsageError(f"--inline is for this machine, not for {self.executor}")
        if self.executor != "slurm":
            _none(slurm, "is for --executor slurm")
        elif time_limit is None:
            raise click.UsageError("a job of Slurm has a time limit: give --time-limit, as 8h")
        elif self.gpus is not None and self.gpus != int(self.gpus):
            raise click.UsageError("--gpus: Slurm gives whole ones")
        if self.executor != "ray":
            _none({"--ray-address": self.ray_address}, "is for --executor ray")

    def options(self) -> dict[str, str]:
        """Those of `sbatch`."""
        named = {"partition": self.partition, "account": self.account, "qos": self.qos}
        return {**{k: v for k, v in named.items() if v is not None}, **self.sbatch}

    def made(self, held: SuiteFolder, means: Means, limits: Limits) -> Executor:
        """The executor, other than `--inline`. Raises SuiteError."""
        from nasdsl.suite.executors.processes import Processes
        from nasdsl.suite.executors.ray_tasks import RayTasks
        from nasdsl.suite.executors.resources import Resources
        from nasdsl.suite.executors.slurm import Slurm

        resources = Resources(cpus=self.cpus, gpus=self.gpus, memory=self.memory)
        if self.executor == "slurm":
            return Slurm(held, means, limits, resources, self.options())
        if self.executor == "ray":
            return RayTasks(held, means, limits, resources, self.ray_address)
        return Processes(held, means, limits)


def _none(given: Mapping[str, Any], why: str) -> None:
    for name, value in given.items():
        if value is not None:
            raise click.UsageError(f"{name} {why}")


def asked(f: Any) -> Any:
    """The options that `Asked` is made of."""
    for option in (
        click.option("--ray-address", metavar="ADDRESS",
                     help="Ray: cluster to use (auto, ray://host:10001) [default: one of its own]."),
        click.option("--sbatch", multiple=True, callback=pairs, metavar="NAME=VALUE",
                     help="Slurm: another option of sbatch, as constraint=a100."),
        click.option("--qos", metavar="NAME", help="Slurm: quality of service."),
        click.option("--account", metavar="NAME", help="Slurm: account."),
        click.option("--partition", metavar="NAME", help="Slurm: partition."),
        click.option("--memory", type=click.FloatRange(0, min_open=True), metavar="GB",
                     help="Slurm, Ray: memory of a cell."),
        click.option("--gpus", type=click.FloatRange(0), metavar="N",
                     help="Slurm, Ray: GPUs of a cell; Ray also parts of one, as 0.5."),
        click.option("--cpus", type=click.IntRange(1), metavar="N",
                     help="Slurm, Ray: cores of a cell; as many threads unless --threads."),
        click.option("--executor", type=click.Choice(["local", "slurm", "ray"]), default="local",
                     show_default=True, help="Where cells are done."),
    ):  # fmt: skip
        f = option(f)
    return f
