"""The concrete relaxation: Gumbel noise, a temperature, and a hard form that runs one path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nasdsl.oneshot.samplers.sample import Sample, each, picks, together
from nasdsl.oneshot.samplers.softmax import softmax


def gumbel_softmax(alpha_RK: Tensor, noise_RK: Tensor, tau: float | Tensor, hard: bool) -> Tensor:
    """softmax((log softmax(alpha) + noise) / tau); `hard`: one-hot forward, soft backward.

    The one-hot value is exact: p - p.detach() is zero to the last bit. Raises ValueError for a
    temperature that is not positive.
    """
    # A temperature on the device is positive where it was made; asking would wait for it.
    if not isinstance(tau, Tensor) and not tau > 0:
        raise ValueError(f"a temperature must be positive, not {tau}")
    p = F.softmax((F.log_softmax(alpha_RK, dim=-1) + noise_RK) / tau, dim=-1)
    if not hard:
        return p
    return one_hot(p, p) + (p - p.detach())


def one_hot(scores_RK: Tensor, like_RK: Tensor) -> Tensor:
    """One where the score is the largest of its row; unlike torch's it waits for nothing."""
    best_R1 = scores_RK.detach().argmax(dim=-1, keepdim=True)
    return torch.zeros_like(like_RK).scatter_(-1, best_R1, 1.0)


def gumbel_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise, -log(-log(u)), drawn on the CPU from the generator."""
    u = torch.rand(like.shape, generator=generator, dtype=torch.float64)
    tiny = torch.finfo(torch.float64).tiny
    noise = -torch.log(-torch.log(u.clamp(min=tiny, max=1 - 1e-16)))
    return noise.to(like)


@dataclass(frozen=True, slots=True)
class Gumbel:
    """Concrete relaxation: soft as in SNAS (arXiv 1812.09926), hard as in GDAS (1910.04465)."""

    tau: Any
    hard: bool = False

    @property
    def one_hot(self) -> bool:
        return self.hard

    def sample(self, alphas, tables, generator, schedule):  # type: ignore[no-untyped-def]
        tau = schedule(self.tau)

        def draw(alpha: Tensor) -> Tensor:
            return gumbel_softmax(alpha, gumbel_noise(alpha, generator), tau, self.hard)

        mix = together(alphas, tables, draw)
        return Sample(mix, picks(mix) if self.hard else None)

    def expected(self, alphas, tables):  # type: ignore[no-untyped-def]
        return each(alphas, tables, softmax)
