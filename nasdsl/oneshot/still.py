"""Parameters that stand still while something else is differentiated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def still(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Inside, a forward and backward pass leaves out the gradients of these parameters.

    Nothing is kept for them either. Both passes belong inside: what is computed again in the
    backward pass has to see what the forward pass saw. Those that were frozen before stay so.
    """
    moving = [p for p in parameters if p.requires_grad]
    for p in moving:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in moving:
            p.requires_grad_(True)
