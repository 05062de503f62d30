"""A Dirichlet distribution per decision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Dirichlet as DirichletDistribution
from torch.nn import functional as F

from nasdsl.oneshot.samplers.sample import Sample, each

#: Smallest Dirichlet concentration: elu(x) + 1 is exactly 0 in float32 for x <= -17.
MIN_CONCENTRATION = 1e-6


def concentration(alpha: Tensor) -> Tensor:
    """elu(alpha) + 1, kept above zero."""
    return (F.elu(alpha) + 1).clamp(min=MIN_CONCENTRATION)


@dataclass(frozen=True, slots=True)
class Dirichlet:
    """mix ~ Dirichlet(elu(alpha) + 1), reparameterised (DrNAS, arXiv 2006.10355)."""

    one_hot: bool = False

    def sample(self, alphas, tables, generator, schedule):  # type: ignore[no-untyped-def]
        # torch draws from the global generator only, so it is borrowed for the draw.
        seed = int(torch.randint(2**31, (), generator=generator))
        devices = [a.device for a in alphas.values() if a.is_cuda][:1]
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            mix = each(
                alphas, tables, lambda alpha: DirichletDistribution(concentration(alpha)).rsample()
            )
        return Sample(mix)

    def expected(self, alphas, tables):  # type: ignore[no-untyped-def]
        def mean(alpha: Tensor) -> Tensor:
            c = concentration(alpha)
            return c / c.sum(dim=-1, keepdim=True)

        return each(alphas, tables, mean)
