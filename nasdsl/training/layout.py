"""Which memory layout a network runs fastest in."""

from __future__ import annotations

import torch

from nasdsl.ir.cell import Cell, operations
from nasdsl.ir.op import Prim, walk
from nasdsl.ir.space import Network


def layout_for(network: Network, device: torch.device) -> torch.memory_format:
    """Channels last where it helps: on the CPU for depthwise convolutions, on CUDA always.

    Depthwise convolutions are what the CPU library does slowly with channels first; networks of
    dense convolutions alone gain nothing from a change (see `tools/bench_step.py`).
    """
    if device.type == "cuda" or any(prim.kind == "dwconv" for prim in _primitives(network)):
        return torch.channels_last
    return torch.contiguous_format


def _primitives(network: Network) -> list[Prim]:
    found = []
    for stage in network.stages:
        ops = (
            [op for _, op in operations(stage.body)]
            if isinstance(stage.body, Cell)
            else [stage.body]
        )
        for op in ops:
            found.extend(part for part in walk(op) if isinstance(part, Prim))
    return found
