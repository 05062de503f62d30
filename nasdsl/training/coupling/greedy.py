"""SGAS as one loop: the whole supernet to the end, decided edges held by their mix."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nasdsl.training.coupling.plain import Plain
from nasdsl.training.search import Search

#: Of the loop and of the recipe that it is held against.
CRITERION, START, EVERY, HISTORY = 2, 1, 1, 2


class Decisions:
    """Which edge of one cell is decided when (arXiv 1912.00195, section 3.2), on tensors.

    `alphas (edges, ops)`, column 0 is none; `nodes` lists the edges of each node, two of which
    stay.
    """

    def __init__(
        self,
        nodes: Sequence[Sequence[int]],
        count: int,
        *,
        criterion: int,
        start: int,
        every: int,
        history: int,
    ) -> None:
        self.nodes, self.criterion = nodes, criterion
        self.start, self.every, self.size = start, every, history
        self.flags = torch.ones(count, dtype=torch.bool)
        self.chosen: dict[int, int] = {}
        self.past: list[Tensor] = []
        self.held: dict[int, Tensor] = {}

    @staticmethod
    def scaled(v: Tensor) -> Tensor:
        span = v.max() - v.min()
        return (v - v.min()) / span if span > 0 else torch.zeros_like(v)

    def epoch(self, number: int, alphas: Tensor) -> None:
        """What happens behind an epoch."""
        mat = alphas.softmax(-1)
        for edge, row in self.held.items():
            mat[edge] = row
        weight = mat[:, 1:].sum(-1)
        probs = mat[:, 1:] / weight[:, None]
        entropy = torch.distributions.Categorical(probs=probs).entropy()
        score = self.scaled(weight) * self.scaled(1 - entropy / math.log(probs.shape[1]))
        if self.criterion == 2:
            inter = torch.zeros(len(mat), dtype=mat.dtype)
            for old in self.past:
                inter += torch.minimum(old, probs).sum(-1) / len(self.past)
            score = score * self.scaled(inter)
            self.past = [*self.past, probs][-self.size :]
        if number < self.start or (number - self.start) % self.every or not self.flags.any():
            return
        edge = int(torch.where(self.flags, score, -torch.inf).argmax())
        self.chosen[edge] = int(probs[edge].argmax()) + 1
        self.flags[edge] = False
        self.held[edge] = mat[edge]
        for edges in self.nodes:
            if edge in edges and sum(e in self.chosen for e in edges) == 2:
                for other in edges:
                    if self.flags[other]:
                        self.held[other] = mat[other]
                    self.flags[other] = False

    def mix(self, alphas: Tensor) -> Tensor:
        """Softmax of open edges; one operation of what is decided; nothing of what is gone."""
        mix = alphas.softmax(-1)
        closed = (~self.flags).nonzero().flatten()
        fixed = torch.zeros(len(closed), mix.shape[1], dtype=mix.dtype)
        for i, edge in enumerate(closed.tolist()):
            if edge in self.chosen:
                fixed[i, self.chosen[edge]] = 1.0
        return mix.index_put((closed,), fixed)


class PlainSgas(Plain):
    """A first-order search that decides between epochs; nothing is ever taken out."""

    def __init__(self, task: Search) -> None:
        super().__init__(task)
        self.cells: dict[str, Decisions] = {}
        for rules in task.limits.space.rules:
            edges = list(task.session.supernet.tables[rules.table].decisions)
            self.cells[rules.table] = Decisions(
                [[edges.index(e) for e in members] for _, members in rules.rows],
                len(edges),
                criterion=CRITERION,
                start=START,
                every=EVERY,
                history=HISTORY,
            )

    def mix(self) -> dict[str, Tensor]:
        return {n: self.cells[n].mix(a) for n, a in self.alphas.items()}

    def search(self) -> None:
        for epoch in range(self.epochs):
            for k in range(self.per_epoch):
                loss = self.loss(self.valid(), self.mix())
                self.move_arch(torch.autograd.grad(loss, list(self.alphas.values())))
                self.move_weights(epoch * self.per_epoch + k, self.train())
            for name, alpha in self.alphas.items():
                self.cells[name].epoch(epoch, alpha.detach())


def sgas(task: Search) -> None:
    PlainSgas(task).search()
