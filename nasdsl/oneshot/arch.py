"""Architecture parameters: one table per cell, rows are decisions, columns are options."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nasdsl.codegen.supernet import Table
from nasdsl.ir.config import Component
from nasdsl.oneshot.transforms.attention import Attention


class ArchParameters(nn.Module):
    """The alphas, a parameter `(rows, columns)` per table; they follow `.to()` and `state_dict`.

    Rows narrower than their table are padded with columns that nothing reads.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        init: Component | None,
        generator: torch.Generator,
        *,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.tables = dict(tables)
        std = float(init.get("std")) if init is not None and init.name == "normal" else 0.0
        self.values = nn.ParameterDict()
        for name, table in tables.items():
            alpha = torch.randn(table.shape, generator=generator) * std
            self.values[_key(name)] = nn.Parameter(alpha)
        #: Attention over the rows, whose parameters are learned with the alphas.
        self.attention = Attention(tables, generator) if attention else None

    def alphas(self) -> dict[str, Tensor]:
        """The parameters by table."""
        return {name: self.values[_key(name)] for name in self.tables}

    def seen(self, alphas: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Alphas as the sampler sees them: attended where the recipe says so."""
        if self.attention is None:
            return alphas
        attended: dict[str, Tensor] = self.attention(alphas)
        return attended

    def detached(self) -> dict[str, Tensor]:
        """The parameters by table, without gradient."""
        return {name: alpha.detach() for name, alpha in self.alphas().items()}


def _key(name: str) -> str:
    """A table's name as a parameter name: dots and brackets separate modules in torch."""
    return name.replace(".", "/")
