"""The tempered step as one loop: a list of all gradients so far, and the sums of the formula."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nasdsl.training.coupling.plain import Plain
from nasdsl.training.search import Search

#: Of the loop and of the recipe that it is held against.
HIGH, LOW, MEMORY = 5.0, 0.1, 0.8
FIRST, LAST = 2.0, 1.0


class PlainTempered(Plain):
    """Gumbel mixes whose temperature follows how much of the weights' gradients is signal."""

    def __init__(self, task: Search) -> None:
        super().__init__(task)
        self.noise = task.noise
        self.past: list[Tensor] = []
        self.heats: list[float] = []

    def heat(self) -> float:
        t, b = len(self.past), MEMORY
        if t < 2:
            return 1.0
        share = [(1 - b) * b ** (t - 1 - i) / (1 - b**t) for i in range(t)]
        mean = torch.stack([s * g for s, g in zip(share, self.past, strict=True)]).sum(dim=0)
        power = sum(s * g.square().sum().item() for s, g in zip(share, self.past, strict=True))
        noise = sum(s * s for s in share)  # |m|^2 / v of independent gradients of mean zero
        ratio = mean.square().sum().item() / power
        signal = min(1.0, max(0.0, (ratio - noise) / (1 - noise)))
        return float(HIGH ** (1 - signal) * LOW**signal)

    def drawn(self, tau: float) -> dict[str, Tensor]:
        found = {}
        for name, alpha in self.alphas.items():
            u = torch.rand(alpha.shape, generator=self.noise, dtype=torch.float64)
            gumbel = -(-u.log()).log()
            found[name] = ((F.log_softmax(alpha, -1) + gumbel) / tau).softmax(-1)
        return found

    def search(self) -> None:
        count = self.steps
        for step in range(count):
            self.heats.append(self.heat())
            tau = (FIRST + (LAST - FIRST) * step / (count - 1)) * self.heats[-1]
            loss = self.loss(self.valid(), self.drawn(tau))
            self.move_arch(torch.autograd.grad(loss, list(self.alphas.values())))
            mix = {n: m.detach() for n, m in self.drawn(tau).items()}
            self.move_weights(step, self.train(), mix)
            self.past.append(
                torch.cat(
                    [
                        (torch.zeros_like(w) if w.grad is None else w.grad).detach().flatten()
                        for w in self.weights.values()
                    ]
                )
            )


def tempered(task: Search) -> None:
    PlainTempered(task).search()
