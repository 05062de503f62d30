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
from typing import Any

import click

from nasdsl.cli.boundary import OK, STOPPED, USAGE, WRONG, Failure, say

#: What `torchrun` tells every process that it starts.
_TOLD = "TORCHELASTIC_RUN_ID"


def is_rank(given: Mapping[str, str]) -> bool:
    """Whether this process is one of several that `torchrun` or `--nproc` started."""
    return "RANK" in given and "WORLD_SIZE" in given


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
) -> None:
    """Run this command, with `more` arguments, in `nproc` processes, and wait for them.

    `again` says how to go on with what was `begun`. Raises Failure where a process failed, and
    SystemExit where they were stopped.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Its reports are of its own workings; how a rank failed is said below.
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    command = ["-m", "nasdsl", *sys.argv[1:], *more]
    with TemporaryDirectory() as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=nproc,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=max_restarts,
        )
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            ended = {rank: f.exitcode for rank, f in sorted(error.failures.items())}
            # After a failure the others are asked to end; that is no news.
            failed = {r: c for r, c in ended.items() if c != -signal.SIGTERM} or ended
            said = [_how(rank, code) for rank, code in failed.items()]
            said += [again] if begun() else []
            code = max(WRONG, *failed.values())
            raise Failure("; ".join(said), code) from None
        except SignalException:
            say(f"stopped; {again}")
            raise SystemExit(STOPPED) from None
    if stopped():
        raise SystemExit(STOPPED)


def _how(rank: int, code: int) -> str:
    """How a process ended."""
    return f"rank {rank} was killed by signal {-code}" if code < 0 else f"rank {rank} failed"


@contextmanager
def beside(rank: int) -> Iterator[None]:
    """What a rank but the first does: it does not talk, and only its own failures are told."""
    from nasdsl.oneshot.ranks.world import Elsewhere
    from nasdsl.training.agreement import Disagreed

    if rank == 0:
        yield
        return
    click.get_current_context().find_root().params["quiet"] = True
    try:
        yield
    except (Elsewhere, Disagreed):
        # Said by another rank.
        raise SystemExit(WRONG) from None


def world_here(nproc: int | None, batch_norm: str) -> Any:
    """The world of this process, or the one it is to start. Raises WorldError, Failure."""
    from nasdsl.oneshot.ranks.world import World, from_environment, under

    found = from_environment(os.environ)
    if found is None:
        size = nproc or 1
        return World(size=size, local_size=size, batch_norm=batch_norm)
    if nproc not in (None, found.local_size):
        raise Failure(f"--nproc {nproc}, but {found.local_size} were started here", USAGE)
    return under(found, batch_norm)
