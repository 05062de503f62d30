"""OLES as one loop: separate backward passes, sums on the host, a list of what is frozen."""

from __future__ import annotations

import torch
from torch import Tensor

from nasdsl.training.coupling.plain import Plain
from nasdsl.training.search import Search

#: Of the loop and of the recipe that it is held against.
EVERY, BELOW = 2, -0.15


def options(task: Search) -> dict[str, list[str]]:
    """Weights of every option that has some, by the prefix of their names."""
    found = {}
    for prefix in task.session.supernet.options:
        names = [n for n in task.session.weights if n.startswith(prefix + ".")]
        if names:
            found[prefix] = names
    return found


def cosine(a: Tensor, b: Tensor) -> float:
    """The mean over all but the first axis of the cosines along the first."""
    top = (a * b).sum(dim=0)
    return (top / (a.square().sum(dim=0).sqrt() * b.square().sum(dim=0).sqrt())).mean().item()


class PlainOles(Plain):
    """OLES (NeurIPS 2023): options whose training and validation gradients disagree stop moving."""

    def __init__(self, task: Search, *, every: int = EVERY, below: float = BELOW) -> None:
        super().__init__(task)
        self.groups, self.every, self.below = options(task), every, below
        self.frozen: set[str] = set()

    def search(self) -> None:
        names, values = list(self.weights), list(self.weights.values())
        sums, seen = dict.fromkeys(self.groups, 0.0), dict.fromkeys(self.groups, 0)
        for step in range(self.steps):
            loss = self.loss(self.valid(), self.mix())
            moves = torch.autograd.grad(loss, list(self.alphas.values()), retain_graph=True)
            grads = torch.autograd.grad(loss, values, allow_unused=True)
            clean = dict(zip(names, grads, strict=True))
            self.move_arch(moves)
            slopes = dict(zip(names, self.slopes(self.train(), self.held()), strict=True))
            for prefix, members in self.groups.items():
                scores = [
                    cosine(a, b)
                    for n in members
                    if (a := clean[n]) is not None and (b := slopes[n]) is not None
                ]
                if scores:
                    sums[prefix] += sum(scores) / len(scores)
                    seen[prefix] += 1
            if (step + 1) % self.every == 0:
                self.frozen |= {
                    p for p in self.groups if seen[p] and sums[p] / seen[p] < self.below
                }
                sums, seen = dict.fromkeys(self.groups, 0.0), dict.fromkeys(self.groups, 0)
            still = {n for p in self.frozen for n in self.groups[p]}
            self.descend(step, [None if n in still else slopes[n] for n in names])


def oles(task: Search) -> None:
    PlainOles(task).search()
