"""Paths drawn without regard to the alphas: single-path training of a supernet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nasdsl.codegen.supernet import Table
from nasdsl.oneshot.samplers.sample import Sample


def one_hot_of(picks: Mapping[str, list[int]], alphas: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The mix that weighs the picked option of every row with one."""
    found = {}
    for name, rows in picks.items():
        mix = torch.zeros_like(alphas[name])
        index = torch.tensor(rows, device=mix.device)
        found[name] = mix.scatter(1, index[:, None], 1.0)
    return found


def _flat(alphas: Mapping[str, Tensor], tables: Mapping[str, Table]) -> dict[str, Tensor]:
    """Every option of a row alike."""
    found = {}
    for name, alpha in alphas.items():
        mix = torch.zeros_like(alpha)
        for row, width in enumerate(tables[name].widths):
            mix[row, :width] = 1 / width
        found[name] = mix
    return found


@dataclass(frozen=True, slots=True)
class UniformPath:
    """`uniform_path`: one option per decision, each alike (SPOS, arXiv 1904.00420)."""

    one_hot: bool = True

    def sample(self, alphas, tables, generator, schedule):  # type: ignore[no-untyped-def]
        picks = {
            name: [int(torch.randint(w, (), generator=generator)) for w in tables[name].widths]
            for name in alphas
        }
        return Sample(one_hot_of(picks, alphas), picks)

    def expected(self, alphas, tables):  # type: ignore[no-untyped-def]
        return _flat(alphas, tables)


@dataclass(frozen=True, slots=True)
class FairPath:
    """`fair_path`: every option runs equally often before one update (FairNAS, 1907.01845).

    A step takes as many paths as the widest decision has options; each decision goes through a
    fresh permutation of its own, narrower ones begin again.
    """

    one_hot: bool = True

    def samples(
        self,
        alphas: Mapping[str, Tensor],
        tables: Mapping[str, Table],
        generator: torch.Generator,
    ) -> list[Sample]:
        """The paths of one update."""
        count = max(w for t in tables.values() for w in t.widths)
        orders = {
            name: [torch.randperm(w, generator=generator).tolist() for w in tables[name].widths]
            for name in alphas
        }
        found = []
        for i in range(count):
            picks = {name: [o[i % len(o)] for o in rows] for name, rows in orders.items()}
            found.append(Sample(one_hot_of(picks, alphas), picks))
        return found

    def sample(self, alphas, tables, generator, schedule):  # type: ignore[no-untyped-def]
        return self.samples(alphas, tables, generator)[0]

    def expected(self, alphas, tables):  # type: ignore[no-untyped-def]
        return _flat(alphas, tables)
