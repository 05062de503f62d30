"""Penalties that look at the mix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nasdsl.oneshot.penalties.rows import by_width
from nasdsl.oneshot.session import Session


@dataclass(frozen=True, slots=True)
class ZeroOne:
    """`zero_one(weight, norm)`: pushes every weight towards 0 or 1 (FairDARTS, arXiv 1911.12126).

    l2: -weight mean (mix - 1/2)^2; l1: -weight mean |mix - 1/2| (equation 5).
    """

    weight: Any
    norm: str

    def value(
        self, session: Session, alphas: Mapping[str, Tensor], mix: Mapping[str, Tensor]
    ) -> Tensor:
        away = torch.cat(
            [
                (part - 0.5).flatten()
                for name, m in mix.items()
                for part in by_width(m, session.supernet.tables[name])
            ]
        )
        far = away.square() if self.norm == "l2" else away.abs()
        return -session.now(self.weight, "regularize") * far.mean()


@dataclass(frozen=True, slots=True)
class Entropy:
    """`entropy(weight)`: weight times the mean entropy of the rows in nats (ASAP, 1904.04123)."""

    weight: Any

    def value(
        self, session: Session, alphas: Mapping[str, Tensor], mix: Mapping[str, Tensor]
    ) -> Tensor:
        rows = []
        for name, m in mix.items():
            for part in by_width(m, session.supernet.tables[name]):
                share = part / part.sum(dim=-1, keepdim=True).clamp(min=1e-12)
                rows.append(-torch.special.xlogy(share, share).sum(dim=-1))
        return session.now(self.weight, "regularize") * torch.cat(rows).mean()
