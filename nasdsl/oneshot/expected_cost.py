"""The mean cost of architectures drawn from a mix: a penalty with a gradient.

Where every decision is drawn by itself with the weights of the mix as probabilities, the mean of
a cost expression is the expression with these probabilities in place of its indicators.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nasdsl.codegen.supernet import Table
from nasdsl.ir.expression import CostError, Expression


class ExpectedCost(nn.Module):
    """`expected(mix)`: the mean of an expression, a tensor of no dimensions.

    `mix` maps a table to its weights `(rows, columns)`, rows that sum to 1, as a supernet takes
    it. Edges under a `keep N` rule stay with probability N / edges of their node, or as `edges`
    says by decision (tensors of no dimensions). Where weights of one row are multiplied, as those
    of conditional decisions with their condition, decisions have to be independent.

    Raises CostError for an expression over decisions that the tables do not hold.
    """

    amounts: Tensor
    columns: Tensor
    owners: Tensor
    negated: Tensor
    sure: Tensor
    places: Tensor

    def __init__(self, expression: Expression, tables: Mapping[str, Table]) -> None:
        super().__init__()
        self.tables = {name: table.shape for name, table in tables.items()}
        start, at = 0, {}
        for table in tables.values():
            for row, (decision, labels) in enumerate(
                zip(table.decisions, table.labels, strict=True)
            ):
                at[decision] = (start + row * table.shape[1], labels)
            start += table.shape[0] * table.shape[1]
        factors = list(dict.fromkeys(f for t in expression.terms for f in t.factors))
        self.stay = {d: float(share) for d, share in expression.stay}
        #: Factors of edges that may not stay: position and decision.
        self.edges = [(i, f.decision) for i, f in enumerate(factors) if f.decision in self.stay]
        columns, owners = [], []
        for i, factor in enumerate(factors):
            if not factor.labels:
                continue
            if factor.decision not in at:
                raise CostError(
                    f"`{factor.decision}`, on which {expression.measure} depends, has no row in "
                    f"the tables {', '.join(tables)}"
                )
            first, labels = at[factor.decision]
            for label in factor.labels:
                columns.append(first + labels.index(label))
                owners.append(i)
        self.count = len(factors)
        index = {factor: i for i, factor in enumerate(factors)}
        width = max((len(t.factors) for t in expression.terms), default=0)
        # A term of fewer factors is filled up with the factor one, which stands last.
        places = [
            [*(index[f] for f in t.factors), *[self.count] * (width - len(t.factors))]
            for t in expression.terms
        ]
        # Amounts are whole and may be large; they are exact in double precision.
        amounts = torch.tensor([float(t.amount) for t in expression.terms], dtype=torch.float64)
        self.register_buffer("amounts", amounts, persistent=False)
        self._whole("columns", columns)
        self._whole("owners", owners)
        self._whole("places", places, (len(places), width))
        negated = torch.tensor([f.negated for f in factors], dtype=torch.bool)
        self.register_buffer("negated", negated, persistent=False)
        # A factor without labels is sure, but for what the edges say.
        sure = torch.tensor([float(not f.labels) for f in factors], dtype=torch.float64)
        self.register_buffer("sure", sure, persistent=False)

    def _whole(
        self, name: str, found: list[int] | list[list[int]], shape: tuple[int, ...] = (-1,)
    ) -> None:
        tensor = torch.tensor(found, dtype=torch.long).reshape(shape)
        self.register_buffer(name, tensor, persistent=False)

    def forward(
        self, mix: Mapping[str, Tensor], edges: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        flat_W = torch.cat([mix[name].reshape(-1) for name in self.tables]) if self.tables else None
        like = flat_W if flat_W is not None else self.amounts
        chance_F = self.sure.to(like.dtype)
        if flat_W is not None:
            chance_F = chance_F.index_add(0, self.owners, flat_W[self.columns])
        if self.edges:
            chance_F = chance_F * self._stays(edges or {}, like)
        chance_F = torch.where(self.negated, 1 - chance_F, chance_F)
        with_one = torch.cat([chance_F, like.new_ones(1)])
        products_T = with_one[self.places].prod(dim=1)
        total: Tensor = (products_T * self.amounts.to(like.dtype)).sum()
        return total

    def _stays(self, edges: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """The chance of each factor's edge to stay, 1 where it always does: `(factors,)`."""
        stays = like.new_ones(self.count)
        for i, decision in self.edges:
            stays[i] = edges.get(decision, self.stay[decision])
        return stays
