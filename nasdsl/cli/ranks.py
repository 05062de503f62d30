"""`--nproc`: the same command in several processes, started by what `torchrun` is made of.

Each of them finds its rank in the environment, as under `torchrun -m nasdsl run …`. This process
computes nothing; it waits, starts all anew after a failure where it is asked to, and says how it
went.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import click

from nasdsl.cli.boundary import OK, STOPPED, USAGE, WRONG, Failure, say

#: What `torchrun` tells every process that it starts.
_TOLD = "TORCHELASTIC_RUN_ID"
#: How what it tells begins where `--nproc` started them.
_OURS = "nasdsl-"
#: The exit code of a rank that ended because another one did.
LOST = 75
#: Seconds that ranks have to finish a step and write a checkpoint, once they were asked to stop.
_PATIENCE = "600"


def is_rank(given: Mapping[str, str]) -> bool:
    """Whether this process is one of several that `torchrun` or `--nproc` started."""
    return "RANK" in given and "WORLD_SIZE" in given


def told_elsewhere(given: Mapping[str, str]) -> bool:
    """Whether the process that started this one with `--nproc` says how it all ended."""
    return is_rank(given) and given.get(_TOLD, "").startswith(_OURS)


def stop_code(given: Mapping[str, str]) -> int:
    """The exit code of a process that was stopped.

    `torchrun` takes any but 0 for a failure, after which it would start the process again.
    """
    return OK if _TOLD in given else STOPPED


def options(f: Any) -> Any:
    """The options of commands that several processes carry out."""
    for option in (
        click.option("--batch-norm", type=click.Choice(["synchronised", "local"]),
                     help="What batch-norms of several processes see in a step: the batch, which is "
                     "what one process computes but slower, or their part of it [default: "
                     "synchronised; of a run folder: its own]."),
        click.option("--shard", is_flag=True,
                     help="With --nproc: every process keeps a part of the parameters and of what "
                     "optimizers remember of them, cell by cell (FSDP). For networks whose "
                     "parameters, gradients and optimizers do not fit beside a step; others are "
                     "slower by it."),
        click.option("--max-restarts", type=click.IntRange(0), default=0, metavar="N",
                     help="With --nproc: start again so often after a failure, from the last "
                     "checkpoint."),
        click.option("--nproc", type=click.IntRange(1), metavar="N",
                     help="Processes that make every step together, each with its part of every "
                     "batch (over several machines: `torchrun -m nasdsl …`)."),
    ):  # fmt: skip
        f = option(f)
    return f


def launch(
    nproc: int,
    max_restarts: int,
    more: Sequence[str],
    *,
    again: str,
    begun: Callable[[], bool],
    stopped: Callable[[], bool],
    reached: Callable[[], str | None],
) -> None:
    """Run this command, with `more` arguments, in `nproc` processes, and wait for them.

    `again` says how to go on with what was `begun`, from the checkpoint that was `reached`. Raises
    Failure where a process failed, and SystemExit where they were stopped.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # What is waited for a rank before it is killed.
    os.environ.setdefault("TORCHELASTIC_SHUTDOWN_TIMEOUT", _PATIENCE)
    command = ["-m", "nasdsl", *sys.argv[1:], *more]
    with TemporaryDirectory() as logs, _silent():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=nproc,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            run_id=f"{_OURS}{uuid.uuid4().hex}",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=max_restarts,
        )
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            message, code = failure({r: f.exitcode for r, f in error.failures.items()})
            raise Failure(f"{message}; {again}" if begun() else message, code) from None
        except SignalException:
            _tell_stop(again if begun() else None, reached())
    if stopped():
        _tell_stop(again, reached())


def failure(ended: Mapping[int, int]) -> tuple[str, int]:
    """What became of ranks that failed, by their exit codes, and the exit code of it all."""
    # After a failure the others are asked to end, or miss who failed; that is no news.
    failed = {r: c for r, c in sorted(ended.items()) if c not in (-signal.SIGTERM, LOST)}
    if not failed and LOST in ended.values():
        return "the ranks do not reach each other any more", WRONG
    failed = failed or dict(sorted(ended.items()))
    said = [
        f"rank {rank} was killed by signal {-code}" if code < 0 else f"rank {rank} failed"
        for rank, code in failed.items()
    ]
    return "; ".join(said), max(WRONG, *failed.values())


def _tell_stop(again: str | None, reached: str | None) -> NoReturn:
    """Say where all ranks stopped, and end."""
    where = f" at {reached}" if reached is not None else ""
    say(f"stopped{where}; {again}" if again is not None else "stopped")
    raise SystemExit(STOPPED)


@contextmanager
def _silent() -> Iterator[None]:
    """No logging: torch reports its own workings, and how a rank ended is said here."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def beside(rank: int) -> Iterator[None]:
    """Ranks but the first do not talk, and of all ranks only their own failures are told."""
    from nasdsl.oneshot.ranks.world import Elsewhere, RankLost
    from nasdsl.training.agreement import Disagreed

    if rank > 0:
        click.get_current_context().find_root().params["quiet"] = True
    try:
        yield
    except RankLost:
        # Which one was lost, the process that started all knows.
        if not told_elsewhere(os.environ):
            raise
        raise SystemExit(LOST) from None
    except (Elsewhere, Disagreed) as error:
        # Said by the rank that failed, and by the first where they disagree.
        silent = told_elsewhere(os.environ) and isinstance(error, Elsewhere)
        if rank == 0 and not silent:
            raise
        raise SystemExit(LOST) from None


def world_here(nproc: int | None, batch_norm: str, shard: bool = False) -> Any:
    """The world of this process, or the one it is to start. Raises WorldError, Failure."""
    from nasdsl.oneshot.ranks.world import World, from_environment, under

    found = from_environment(os.environ)
    if found is None:
        size = nproc or 1
        return World(size=size, local_size=size, batch_norm=batch_norm, sharded=shard)
    if nproc not in (None, found.local_size):
        raise Failure(f"--nproc {nproc}, but {found.local_size} were started here", USAGE)
    return under(found, batch_norm, shard)
