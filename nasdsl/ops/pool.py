"""Pooling."""

from __future__ import annotations

from torch import Tensor, nn

from nasdsl.ir.op import Prim
from nasdsl.ir.shape import RANK

_MAX = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_AVG = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


def maximum(prim: Prim) -> nn.Module:
    return _MAX[RANK[prim.inp.kind]](
        prim.integers("kernel"), stride=prim.integers("stride"), padding=prim.integers("pad")
    )


def average(prim: Prim) -> nn.Module:
    """Padding is not counted unless `include_pad`."""
    return _AVG[RANK[prim.inp.kind]](
        prim.integers("kernel"),
        stride=prim.integers("stride"),
        padding=prim.integers("pad"),
        count_include_pad=bool(prim.get("include_pad")),
    )


class GlobalAverage(nn.Module):
    """Mean over all positions: `(n, c, …)` to `(n, c)`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)
