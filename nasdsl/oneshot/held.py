"""What a selection rule may measure architectures on: held-out images, and their requirements."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from nasdsl.ir.limits import Limits

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Passes over the halves of a search, and what architectures must meet."""

    #: Every image of `search.valid` once, in a fixed order, never augmented.
    valid: Callable[[], Iterable[Batch]]
    #: Measures the batch-norm statistics of a network `net(x)` anew on so many training images.
    calibrate: Callable[[nn.Module, int], None]
    #: What the space and the recipe require, with the discrete networks that tells it.
    limits: Limits
