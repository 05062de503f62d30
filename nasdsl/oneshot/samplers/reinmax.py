"""ReinMax: a one-hot sample whose gradient is second-order accurate (arXiv 2304.08612)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nasdsl.oneshot.samplers.gumbel import gumbel_noise, one_hot
from nasdsl.oneshot.samplers.sample import Sample, each, picks, together
from nasdsl.oneshot.samplers.softmax import softmax


def reinmax(theta_RK: Tensor, noise_RK: Tensor, tau: float | Tensor) -> Tensor:
    """A one-hot draw from softmax(theta), with the gradient of Heun's method (Algorithm 2).

    pi0 = softmax(theta), D ~ pi0, pi1 = (D + softmax(theta / tau)) / 2 seen as a softmax of theta,
    pi2 = 2 pi1 - pi0 / 2; the value is D, the gradient that of pi2. `noise` is Gumbel noise.
    Raises ValueError for a temperature that is not positive.
    """
    # A temperature on the device is positive where it was made; asking would wait for it.
    if not isinstance(tau, Tensor) and not tau > 0:
        raise ValueError(f"a temperature must be positive, not {tau}")
    pi0 = F.softmax(theta_RK, dim=-1)
    picked = one_hot(F.log_softmax(theta_RK.detach(), dim=-1) + noise_RK, theta_RK)
    half = (picked + F.softmax(theta_RK / tau, dim=-1)) / 2
    pi1 = F.softmax((half.log() - theta_RK).detach() + theta_RK, dim=-1)
    pi2 = 2 * pi1 - pi0 / 2
    return picked + (pi2 - pi2.detach())


@dataclass(frozen=True, slots=True)
class ReinMax:
    """`reinmax(tau)`; tau >= 1 is what the paper advises."""

    tau: Any
    one_hot: bool = True

    def sample(self, alphas, tables, generator, schedule):  # type: ignore[no-untyped-def]
        tau = schedule(self.tau)

        def draw(alpha: Tensor) -> Tensor:
            return reinmax(alpha, gumbel_noise(alpha, generator), tau)

        mix = together(alphas, tables, draw)
        with torch.no_grad():
            return Sample(mix, picks(mix))

    def expected(self, alphas, tables):  # type: ignore[no-untyped-def]
        return each(alphas, tables, softmax)
