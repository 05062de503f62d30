"""A loss that is no number: in which step, and which operation gave the first such value.

The steps pay nothing for it. When a loss turns out not to be finite, the task goes back to its
last checkpoint and makes its steps again, which are the same bit for bit, with a look at what
every module gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from nasdsl.training import checkpoint
from nasdsl.training.kept import Kept
from nasdsl.training.task import Task


class Diverged(ValueError):
    """A loss is not finite."""


class _Found(Exception):
    """The first value that is not finite."""


def finite(value: Any) -> bool:
    """Whether all tensors of a value are; what is no number is."""
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    if isinstance(value, list | tuple):
        return all(map(finite, value))
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return True


@contextmanager
def watched(networks: dict[str, nn.Module]) -> Iterator[None]:
    """Raise at the first module whose output is not finite, innermost first."""

    def look(name: str) -> Any:
        def hook(module: nn.Module, given: Any, made: Any) -> None:
            if finite(made):
                return
            lost = [n for n, p in module.named_parameters() if not finite(p.detach())]
            kind = type(module).__name__
            if not finite(given):
                raise _Found(f"what goes into `{name}` ({kind}) is not finite")
            if lost:
                raise _Found(
                    f"`{name}` ({kind}): its parameter `{lost[0]}` is not finite since the "
                    "step before (a smaller learning rate or `clip` may help)"
                )
            raise _Found(f"`{name}` ({kind}) gave it, from finite values")

        return hook

    hooks = [
        module.register_forward_hook(look(f"{label}.{name}" if name else label))
        for label, network in networks.items()
        for name, module in network.named_modules()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def diverged(task: Task, kept: Kept, epoch: int, step: int) -> Diverged:
    """The error of a loss that is not finite, found to be so after a step (both 0-based).

    The task is afterwards of no use: the run goes on from its last checkpoint.
    """
    last = kept.last
    where, origin = (epoch, step), None
    if kept.place is not None:
        # Where the state does not fit a network that was rebuilt since, only the step is known.
        with suppress(checkpoint.CheckpointError, ValueError, RuntimeError, KeyError):
            where, origin = _again(task, kept, epoch, step)
    said = f"the loss is not finite in step {where[1] + 1} of epoch {where[0] + 1}"
    if origin is not None:
        said += f": {origin}"
    if last is not None:
        said += f"; the last good checkpoint is {last}"
    return Diverged(said)


def _again(task: Task, kept: Kept, epoch: int, step: int) -> tuple[tuple[int, int], str | None]:
    """Make the steps since the last checkpoint again; the first that fails, and why."""
    found = kept.newest()
    if found is None:
        return (epoch, step), None
    task.restore(found.tensors, found.values["task"])
    first, skip = int(found.values["epoch"]), int(found.values["step"])
    for e in range(first, epoch + 1):
        steps = task.begin(e)
        for number in range(skip if e == first else 0, steps):
            try:
                with watched(task.networks()):
                    task.step(e, number)
            except _Found as error:
                return (e, number), str(error)
            if task.broken():
                return (e, number), "every module gave finite values; the loss itself did not"
            if (e, number) == (epoch, step):
                return (epoch, step), None
        task.epoch_record(e)
    return (epoch, step), None
