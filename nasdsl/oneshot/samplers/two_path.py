"""Two sampled paths for the architecture, one for the weights (ProxylessNAS, arXiv 1812.00332)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nasdsl.codegen.supernet import Table
from nasdsl.codegen.two import Two
from nasdsl.oneshot.samplers.sample import Sample, each
from nasdsl.oneshot.samplers.softmax import softmax


@dataclass(slots=True)
class TwoPath:
    """`two_path`: paths drawn from softmax(alpha) (section 3.2.1).

    The weight step runs one path. The architecture step draws two different options of every
    decision, p2 is the softmax over these two, and one of them is active; the value is that of the
    active one, the gradient that of p2: dL/dalpha_i = sum_j dL/dg_j p2_j (delta_ij - p2_i).
    After the move the pair is shifted so that the probabilities of all other options stay.
    """

    one_hot: bool = True
    #: The pairs of the move that is under way, by table: (row, option, option).
    pairs: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)

    def sample(
        self,
        alphas: Mapping[str, Tensor],
        tables: Mapping[str, Table],
        generator: torch.Generator,
        schedule: Callable[[Any], float],
    ) -> Sample:
        """One path."""
        mix, picks = {}, {}
        for name, alpha in alphas.items():
            rows = _probabilities(alpha, tables[name])
            drawn = [int(torch.multinomial(row, 1, generator=generator)) for row in rows]
            picks[name] = drawn
            index = torch.tensor(drawn, device=alpha.device)
            mix[name] = torch.zeros_like(alpha).scatter(1, index[:, None], 1.0)
        return Sample(mix, picks)

    def arch_sample(
        self,
        alphas: Mapping[str, Tensor],
        tables: Mapping[str, Table],
        generator: torch.Generator,
        schedule: Callable[[Any], float],
    ) -> Sample:
        """Two paths, of which one is active."""
        mix: dict[str, Tensor] = {}
        picks: dict[str, list[int]] = {}
        self.pairs = {}
        for name, alpha in alphas.items():
            rows, chosen = [], []
            pairs: list[tuple[int, int, int]] = []
            for i, row in enumerate(_probabilities(alpha, tables[name])):
                if len(row) == 1:
                    rows.append(torch.ones(1).to(alpha))
                    chosen.append(0)
                    continue
                two = torch.multinomial(row, 2, generator=generator)
                first = int(torch.multinomial(row[two] / row[two].sum(), 1, generator=generator))
                active, other = int(two[first]), int(two[1 - first])
                p2 = torch.softmax(torch.stack([alpha[i, active], alpha[i, other]]), 0)
                value = alpha.new_tensor([1.0, 0.0])
                gates = value + (p2 - p2.detach())
                index = torch.tensor([active, other], device=alpha.device)
                rows.append(alpha.new_zeros(len(row)).index_put((index,), gates))
                chosen.append(Two.of(active, other))
                pairs.append((i, active, other))
            width = alpha.shape[1]
            mix[name] = torch.stack(
                [torch.nn.functional.pad(row, (0, width - len(row))) for row in rows]
            )
            picks[name] = chosen
            self.pairs[name] = pairs
        return Sample(mix, picks)

    @torch.no_grad()
    def moved(self, before: Mapping[str, Tensor], alphas: Mapping[str, Tensor]) -> None:
        """Shift the pairs of the move so that their exponentials sum to what they summed to."""
        for name, pairs in self.pairs.items():
            for i, active, other in pairs:
                index = [active, other]
                excess = alphas[name][i, index].logsumexp(0) - before[name][i, index].logsumexp(0)
                alphas[name][i, index] -= excess
        self.pairs = {}

    def expected(
        self, alphas: Mapping[str, Tensor], tables: Mapping[str, Table]
    ) -> dict[str, Tensor]:
        return each(alphas, tables, softmax)


def _probabilities(alpha: Tensor, table: Table) -> list[Tensor]:
    """The probabilities of every row, on the CPU, where noise is drawn."""
    host = alpha.detach().double().cpu()
    return [torch.softmax(host[i, :width], 0) for i, width in enumerate(table.widths)]
