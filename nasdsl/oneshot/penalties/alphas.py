"""Penalties that look at the architecture parameters themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from nasdsl.oneshot.penalties.rows import by_width
from nasdsl.oneshot.samplers.dirichlet import concentration
from nasdsl.oneshot.session import Session


def beta_decay(alphas: Mapping[str, Tensor], session: Session) -> Tensor:
    """Mean over decisions of logsumexp(alpha) (beta-DARTS, arXiv 2203.01665, equation 14)."""
    rows = [
        torch.logsumexp(part, dim=-1)
        for name, alpha in alphas.items()
        for part in by_width(alpha, session.supernet.tables[name])
    ]
    return torch.cat(rows).mean()


def dirichlet_kl(alphas: Mapping[str, Tensor], session: Session) -> Tensor:
    """Sum over decisions of KL(Dir(elu(alpha) + 1) || Dir(1)) (DrNAS, arXiv 2006.10355)."""
    terms = []
    for name, alpha in alphas.items():
        for part in by_width(alpha, session.supernet.tables[name]):
            own = Dirichlet(concentration(part), validate_args=False)
            flat = Dirichlet(torch.ones_like(part), validate_args=False)
            terms.append(kl_divergence(own, flat).sum())
    return torch.stack(terms).sum()


def squared_norm(alphas: Mapping[str, Tensor], session: Session) -> Tensor:
    """Half the squared norm of alpha, whose gradient is alpha: the anchor elu(0) + 1 = 1 of DrNAS.

    The paper's code has it as the weight decay of Adam; here it is a term of the loss.
    """
    terms = [
        part.square().sum()
        for name, alpha in alphas.items()
        for part in by_width(alpha, session.supernet.tables[name])
    ]
    return torch.stack(terms).sum() / 2


@dataclass(frozen=True, slots=True)
class AlphaPenalty:
    """`weight` times a function of the alphas."""

    weight: Any
    of: Any

    def value(
        self, session: Session, alphas: Mapping[str, Tensor], mix: Mapping[str, Tensor]
    ) -> Tensor:
        found: Tensor = session.now(self.weight, "regularize") * self.of(alphas, session)
        return found
