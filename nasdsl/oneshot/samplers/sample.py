"""What every sampler is: a value that turns architecture parameters into a mix.

Noise comes from a generator that is passed in, so a step can be repeated and a run resumed
exactly. Sampling never changes the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from nasdsl.codegen.supernet import Table


@dataclass(frozen=True, slots=True)
class Sample:
    """A mix by table, and for one-hot samplers the picked option of every row.

    `keep` are drop-path masks `(operations, batch)` of a training step.
    """

    mix: dict[str, Tensor]
    pick: dict[str, list[int]] | None = None
    keep: Tensor | None = None


class Sampler(Protocol):
    """What the step asks of a sampler."""

    @property
    def one_hot(self) -> bool:
        """Whether only one option per decision runs."""
        ...

    def sample(
        self,
        alphas: Mapping[str, Tensor],
        tables: Mapping[str, Table],
        generator: torch.Generator,
        schedule: Callable[[Any], float],
    ) -> Sample:
        """The mix of one step; `schedule` gives the value of an argument at this step."""
        ...

    def expected(
        self, alphas: Mapping[str, Tensor], tables: Mapping[str, Table]
    ) -> dict[str, Tensor]:
        """The mix without noise: for evaluation, discretization and drawings."""
        ...


def by_width(alpha: Tensor, table: Table, f: Callable[[Tensor], Tensor]) -> Tensor:
    """`f` on the rows of every width; padding stays zero."""
    widths = table.widths
    if len(set(widths)) == 1:
        return f(alpha)
    result = torch.zeros_like(alpha)
    for width in sorted(set(widths)):
        rows = torch.tensor([i for i, w in enumerate(widths) if w == width], device=alpha.device)
        part = f(alpha[rows, :width])
        result = result.index_put(
            (rows[:, None], torch.arange(width, device=alpha.device)[None, :]), part
        )
    return result


def each(
    alphas: Mapping[str, Tensor], tables: Mapping[str, Table], f: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    return {name: by_width(alpha, tables[name], f) for name, alpha in alphas.items()}


def together(
    alphas: Mapping[str, Tensor], tables: Mapping[str, Table], f: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """What `each` is, for an `f` that takes every row for itself: tables of one width in one call.

    Noise that `f` draws row by row is the same as table by table.
    """
    if len({w for name in alphas for w in tables[name].widths}) != 1:
        return each(alphas, tables, f)
    if len(alphas) == 1:
        return {name: f(alpha) for name, alpha in alphas.items()}
    rows = f(torch.cat(list(alphas.values())))
    return dict(zip(alphas, rows.split([len(a) for a in alphas.values()]), strict=True))


def picks(mix: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """The picked option of every row: one transfer to the host for all tables.

    Raises ValueError where the weights are NaN: then nothing is picked.
    """
    tables = [m.detach() for m in mix.values()]
    if len({m.shape[1] for m in tables}) == 1:
        tables = [torch.cat(tables)] if len(tables) > 1 else tables
    # NaN is larger than anything else, so it is the largest of its row.
    rows = [m.max(dim=-1) for m in tables]
    index = torch.cat([r.indices for r in rows]) if len(rows) > 1 else rows[0].indices
    value = torch.cat([r.values for r in rows]) if len(rows) > 1 else rows[0].values
    host = index.masked_fill(value.isnan(), -1).tolist()
    if -1 in host:
        raise ValueError("architecture parameters are NaN: the search has diverged")
    found, start = {}, 0
    for name, m in mix.items():
        found[name] = host[start : start + m.shape[0]]
        start += m.shape[0]
    return found
