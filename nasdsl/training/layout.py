"""Which memory layout a network runs fastest in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nasdsl.ir.space import Network


def layout_for(network: Network, device: torch.device) -> torch.memory_format:
    """Channels last for images: 1.7 to 1.9 times faster on the CPU (`tools/bench_step.py`).

    Anything that is no image keeps the plain layout.
    """
    return torch.channels_last if network.inp.kind == "image" else torch.contiguous_format


class Laid(nn.Module):
    """A model behind the memory layout it runs fastest in."""

    def __init__(self, model: nn.Module, layout: torch.memory_format) -> None:
        super().__init__()
        self.model, self.layout = model, layout

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        if x.dim() == 4:
            x = x.contiguous(memory_format=self.layout)
        logits: Tensor = self.model(x, *args)
        return logits
