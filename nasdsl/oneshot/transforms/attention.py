"""Attention over the decisions of a table: each row of alphas becomes a weighing of all rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nasdsl.codegen.supernet import Table


class Attention(nn.Module):
    """One head of self-attention over the rows of every table of alphas.

    A (rows, columns): A' = softmax(A Wq (A Wk)^T / sqrt(columns)) A Wv Wo (arXiv 1706.03762,
    section 3.2). A' stands for A in the sampler; the matrices are learned with the alphas. Wq and
    Wk are drawn with standard deviation 1 / sqrt(columns); Wv and Wo begin as the identity, so that
    a search begins with averages of its alphas. Columns that do not belong to a row count as zero.
    """

    def __init__(self, tables: Mapping[str, Table], generator: torch.Generator) -> None:
        super().__init__()
        self.tables = dict(tables)
        self.heads = nn.ParameterDict()
        for name, table in tables.items():
            width = table.shape[1]
            for part in ("query", "key"):
                drawn = torch.randn(width, width, generator=generator) / math.sqrt(width)
                self.heads[_key(name, part)] = nn.Parameter(drawn)
            for part in ("value", "out"):
                self.heads[_key(name, part)] = nn.Parameter(torch.eye(width))

    def forward(self, alphas: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The alphas that the sampler sees, by table."""
        return {name: self._attended(name, alpha) for name, alpha in alphas.items()}

    def _attended(self, name: str, alpha_RK: Tensor) -> Tensor:
        mask_RK = self.tables[name].mask(alpha_RK.device)
        if mask_RK is not None:
            alpha_RK = alpha_RK * mask_RK
        query, key, value, out = (
            self.heads[_key(name, part)] for part in ("query", "key", "value", "out")
        )
        score_RR = (alpha_RK @ query) @ (alpha_RK @ key).t() / math.sqrt(alpha_RK.shape[1])
        return score_RR.softmax(dim=-1) @ alpha_RK @ value @ out


def _key(table: str, part: str) -> str:
    """A parameter's name: dots separate modules in torch."""
    return f"{table.replace('.', '/')}:{part}"
