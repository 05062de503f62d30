"""The worst mix in a small box around the sampled one (SDARTS-ADV, arXiv 2002.05283)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nasdsl.oneshot.accumulate import passed
from nasdsl.oneshot.perturb.noise import uniform
from nasdsl.oneshot.perturb.simplex import clip_rows
from nasdsl.oneshot.samplers.sample import Sample
from nasdsl.oneshot.session import Session
from nasdsl.oneshot.still import still


@dataclass(frozen=True, slots=True)
class Adversarial:
    """`adversarial(eps, steps)`: projected gradient ascent on the loss of the current batch.

    From a random start, `steps` signed steps of 2 eps / steps inside the box of eps. The loss is
    taken with running statistics, which therefore do not move.
    """

    eps: Any
    steps: int

    def apply(self, session: Session, x: Tensor, y: Tensor, sample: Sample) -> Sample:
        eps = session.now(self.eps, "perturb")
        tables = session.supernet.tables
        shift = uniform(sample.mix, eps, session.noise)
        session.supernet.eval()
        try:
            for _ in range(self.steps):
                with torch.enable_grad(), still(session.weights.values()):
                    leaves = {n: s.detach().requires_grad_() for n, s in shift.items()}
                    mix = {n: m.detach() + leaves[n] for n, m in sample.mix.items()}
                    mix = {n: clip_rows(m, tables[n]) for n, m in mix.items()}
                    own = replace(sample, mix=mix)
                    slopes = passed(session, (x, y), own, leaves).gradients
                for name, slope in slopes.items():
                    if slope is not None:
                        moved = shift[name] + 2 * eps / self.steps * slope.sign()
                        shift[name] = moved.clamp(-eps, eps)
        finally:
            session.supernet.train()
        mix = {n: clip_rows(m + shift[n], tables[n]) for n, m in sample.mix.items()}
        return replace(sample, mix=mix)
