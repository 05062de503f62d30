"""Random numbers for augmentation, from a generator that is passed in."""

from __future__ import annotations

import torch
from torch import Tensor


def integers(high: int, n: int, generator: torch.Generator) -> Tensor:
    """`n` integers uniform in 0..high-1, on the generator's device."""
    return torch.randint(high, (n,), generator=generator, device=generator.device)


def uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Floats uniform in low..high, on the generator's device."""
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    return drawn * (high - low) + low
