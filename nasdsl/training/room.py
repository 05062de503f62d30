"""Out of memory: which batch would have fitted."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from nasdsl.oneshot.ranks.world import ALONE, World
from nasdsl.training.task import Task


class TooLarge(ValueError):
    """A step does not fit into memory."""


def lacks(error: BaseException) -> bool:
    """Whether an error says that there is no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "not enough memory" in text
    )


def fits(trial: Callable[[int], None], batch: int) -> bool:
    """Whether `trial` has memory for a batch."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        trial(batch)
    except Exception as error:
        if not lacks(error):
            raise
        return False
    return True


def largest(trial: Callable[[int], None], below: int, known: int = 0) -> int:
    """The largest batch under `below` that `trial` has memory for; `known` where there is none.

    Found by halving: what fits is known exactly, with about 2 log2(below) steps.
    """
    low, high = known, below
    while high - low > 1:
        middle = (low + high) // 2
        if fits(trial, middle):
            low = middle
        else:
            high = middle
    return low


@contextmanager
def room(task: Task, world: World = ALONE) -> Iterator[None]:
    """Where a step finds no memory, find out what would fit. Raises TooLarge.

    Of several ranks one may have found none; the others wait for it, so that nothing is tried.
    """
    try:
        yield
        return
    except Exception as error:
        if not lacks(error):
            raise
        first = str(error).splitlines()[0] if str(error) else "no memory is left"
    # Outside of the handler: the error holds on to what the step had allocated.
    batch = task.batch
    if world.several:
        raise TooLarge(
            f"rank {world.rank}: its part of a batch of {batch} does not fit into memory ({first}); "
            f"make the batch smaller (--set {task.setting}=…), or take more ranks"
        )
    found = largest(task.trial, batch)
    advice = "not even a batch of one image fits; take a smaller network"
    if found:
        advice = f"the largest batch that fits is {found}: --set {task.setting}={found}"
        if task.splits:
            parts = task.numerics.accumulate * -(-batch // found)
            advice += f", or keep the batch in parts: --accumulate {parts}"
    raise TooLarge(f"a step with a batch of {batch} does not fit into memory ({first}); {advice}")
