"""How a cell ended, from how its process did; the same wherever the process was."""

from __future__ import annotations

from nasdsl.suite.attend import STOPPED, Attended, problem
from nasdsl.suite.executor import Ended, Limits
from nasdsl.suite.folder import SuiteFolder


def ended_of(
    folder: SuiteFolder, digest: str, found: Attended, limits: Limits, stopping: bool
) -> Ended:
    """With its result, with an error, or without either where the worker itself `stopping` it.

    One that was stopped or killed by somebody else is a failed attempt; the next goes on from its
    checkpoint.
    """
    if found.code == 0 and (result := folder.outcome(digest)) is not None:
        return Ended(digest=digest, result=result, seconds=found.seconds)
    if found.late:
        error = f"time limit of {limits.seconds:g} s"
    elif stopping:
        return Ended(digest=digest, seconds=found.seconds)
    elif found.code == STOPPED:
        error = "stopped from outside"
    else:
        error = problem(found.code, folder.log(digest))
    return Ended(digest=digest, error=error, seconds=found.seconds)
