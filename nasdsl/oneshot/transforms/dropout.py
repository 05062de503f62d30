"""Dropout on the mix: options of a training step are left out at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nasdsl.oneshot.session import Session


def dropped(mix_RK: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Each weight is 0 with probability p, else 1 / (1 - p) of itself: its mean stays.

    At p = 1 all weights are zero, never NaN. The mask is drawn on the CPU.
    """
    keep = 1.0 - p
    mask = torch.rand(mix_RK.shape, generator=generator) < keep
    return mix_RK * mask.to(mix_RK) * (1 / keep if keep > 0 else 0.0)


@dataclass(frozen=True, slots=True)
class Dropout:
    """`dropout(p)`: in the steps of a search only; evaluation and selection see the whole mix."""

    p: Any

    def apply(self, session: Session, mix: dict[str, Tensor]) -> dict[str, Tensor]:
        p = session.now(self.p, "mix")
        return {name: dropped(m, p, session.noise) for name, m in mix.items()}
