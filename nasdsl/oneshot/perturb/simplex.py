"""Back to a distribution after noise."""

from __future__ import annotations

import torch
from torch import Tensor

from nasdsl.codegen.supernet import Table


def clip_rows(mix_RK: Tensor, table: Table) -> Tensor:
    """Clamp to [0, 1] and divide by the row sum; a row without mass puts it on its largest entry.

    Columns that do not belong to a row stay zero. The rule is that of the paper's own code.
    """
    mask = table.mask(mix_RK.device)
    if mask is not None:
        mix_RK = mix_RK.masked_fill(~mask, float("-inf"))
    clamped = mix_RK.clamp(0, 1)
    best = torch.zeros_like(clamped).scatter(1, mix_RK.argmax(dim=1, keepdim=True), 1.0)
    mass = clamped.sum(dim=1, keepdim=True)
    return torch.where(mass > 0, clamped / mass.clamp(min=1e-12), best)
