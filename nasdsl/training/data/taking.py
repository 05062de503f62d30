"""Batches straight from stored bytes, by the kernel where there is one: same draws, same bits."""

from __future__ import annotations

import torch
from torch import Tensor

from nasdsl.kernels.batches import CROP, CUTOUT, FLIP, Batches, Move, batches
from nasdsl.training.data.augment import Crop, Cutout, Flip, Pipeline


def kernel(stored: Tensor) -> Batches | None:
    """What takes batches of these images: of bytes on the CPU, where a compiler is."""
    if stored.device.type != "cpu" or stored.dtype != torch.uint8 or stored.dim() != 4:
        return None
    found = batches()
    return found if isinstance(found, Batches) else None


def moves(
    steps: Pipeline, n: int, sides: tuple[int, int], generator: torch.Generator
) -> tuple[list[Move], Pipeline]:
    """The leading steps that only move and cut, drawn for `n` images, and the steps that are left.

    Draws are made step by step, as the steps themselves make them, by a generator of the CPU.
    """
    made: list[Move] = []
    for step in steps.steps:
        match step:
            case Crop():
                drawn = _plain(*step.draw(n, sides, generator))
                made.append(Move(kind=CROP, numbers=(step.size, step.pad), draws=drawn))
                sides = step.size, step.size
            case Flip():
                made.append(Move(kind=FLIP, draws=_plain(step.draw(n, generator))))
            case Cutout():
                drawn = _plain(*step.draw(n, sides, generator))
                made.append(Move(kind=CUTOUT, numbers=(step.length, 0), draws=drawn))
            case _:
                break
    return made, Pipeline(steps.steps[len(made) :])


def _plain(*drawn: Tensor) -> tuple[Tensor, ...]:
    return tuple(each if each.dtype == torch.int64 else each.long() for each in drawn)
