"""The implicit gradient by a truncated Neumann series (iDARTS, arXiv 2106.10784).

At a minimum of L_train in w, d alpha L_val(w(alpha), alpha) = dL_val/d alpha
- gamma sum_{j<=K} d2L_train/(d alpha d w) (I - gamma H)^j dL_val/dw (equation 9).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nasdsl.oneshot.accumulate import passed
from nasdsl.oneshot.parts import ARCH, WEIGHTS
from nasdsl.oneshot.session import Batch, Session
from nasdsl.oneshot.steps.curvature_in_parts import curvature
from nasdsl.oneshot.steps.first_order import weight_step


@dataclass(frozen=True, slots=True)
class Implicit:
    """`implicit(terms, scale)`: K + 1 = `terms` + 1 summands, gamma = `scale`."""

    terms: int
    scale: float

    def run(self, session: Session) -> None:
        batch: Batch | None = None
        if session.due(ARCH):
            batch = session.next_train()
            self._arch_step(session, batch)
        if session.due(WEIGHTS):
            weight_step(session, batch)

    def _arch_step(self, session: Session, batch: Batch) -> None:
        held = session.next_valid()
        sample = session.sample(ARCH)
        weights: dict[str, Tensor] = dict(session.weights)
        bends = curvature(session, batch, sample)
        wanted = {**weights, **{f"arch:{n}": a for n, a in session.alphas.items()}}
        made = passed(session, held, sample, wanted, penalized=True, keep=True)
        found = made.gradients
        term = {
            n: g if (g := found[n]) is not None else torch.zeros_like(w) for n, w in weights.items()
        }
        total = dict(term)
        for _ in range(self.terms):
            bent = bends.times(term)
            term = {n: v - self.scale * bent[n] for n, v in term.items()}
            total = {n: t + term[n] for n, t in total.items()}
        mixed = bends.mixed(total)
        session.move_arch(
            {
                n: (g if (g := found[f"arch:{n}"]) is not None else 0) - self.scale * mixed[n]
                for n in session.alphas
            }
        )
        session.valid_meter.add(made.loss, made.logits, held[1])
