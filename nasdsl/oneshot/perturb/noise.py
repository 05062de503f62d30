"""Uniform noise on the mix (SDARTS-RS, arXiv 2002.05283, equation 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nasdsl.oneshot.perturb.simplex import clip_rows
from nasdsl.oneshot.samplers.sample import Sample
from nasdsl.oneshot.session import Session


def uniform(mix: Mapping[str, Tensor], eps: float, generator: torch.Generator) -> dict[str, Tensor]:
    """U(-eps, eps) of the shapes of a mix, drawn on the CPU."""
    return {
        name: ((2 * torch.rand(m.shape, generator=generator) - 1) * eps).to(m)
        for name, m in mix.items()
    }


@dataclass(frozen=True, slots=True)
class Noise:
    """`random(eps)`."""

    eps: Any

    def apply(self, session: Session, x: Tensor, y: Tensor, sample: Sample) -> Sample:
        eps = session.now(self.eps, "perturb")
        noise = uniform(sample.mix, eps, session.noise)
        tables = session.supernet.tables
        mix = {name: clip_rows(m + noise[name], tables[name]) for name, m in sample.mix.items()}
        return replace(sample, mix=mix)
