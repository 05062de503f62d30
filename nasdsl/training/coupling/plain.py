"""A monolithic loop: its own optimizers, its own mix, one step after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasdsl.training.search import Search

Batch = tuple[Tensor, Tensor]
Grads = Sequence[Tensor | None]


def cosine_rate(step: int, *, per_epoch: int = 2, epochs: int = 2) -> float:
    """cosine(0.025 -> 0.001, per = epoch), the rate of the weights in the DARTS papers."""
    t = (step // per_epoch) / epochs
    return 0.001 + (0.025 - 0.001) * (1 + math.cos(math.pi * t)) / 2


class Plain:
    """A loop over the pieces of another search of the same seed.

    It takes the supernet, the alphas and the batches from that search and mixes by softmax;
    nothing of `nasdsl.oneshot` computes here.
    """

    def __init__(self, task: Search, *, epochs: int | None = None) -> None:
        session = task.session
        self.net, self.alphas = session.supernet, dict(session.arch.alphas())
        self.weights = {n: p for n, p in self.net.named_parameters() if p.requires_grad}
        self.train, self.valid = session.next_train, session.next_valid
        self.per_epoch = task.train.batches_per_pass
        self.epochs = task.epochs if epochs is None else epochs
        self.momentum, self.decay, self.clip = 0.9, 3e-4, 5.0
        self.sgd = torch.optim.SGD(
            self.weights.values(), lr=self.rate(0), momentum=self.momentum, weight_decay=self.decay
        )
        self.adam = torch.optim.Adam(
            self.alphas.values(), lr=0.01, betas=(0.5, 0.999), weight_decay=1e-3
        )
        self.net.train()

    @property
    def steps(self) -> int:
        """How many steps the whole search has."""
        return self.epochs * self.per_epoch

    def rate(self, step: int) -> float:
        return cosine_rate(step, per_epoch=self.per_epoch, epochs=self.epochs)

    def mix(self) -> dict[str, Tensor]:
        return {n: a.softmax(-1) for n, a in self.alphas.items()}

    def held(self) -> dict[str, Tensor]:
        """The mix as the weight step sees it: a number."""
        return {n: m.detach() for n, m in self.mix().items()}

    def loss(
        self, batch: Batch, mix: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        x, y = batch
        if weights is None:
            logits = self.net(x, mix)
        else:
            logits = torch.func.functional_call(self.net, dict(weights), (x, mix))
        return F.cross_entropy(logits, y)

    def slopes(self, batch: Batch, mix: Mapping[str, Tensor]) -> Grads:
        """The gradient of the training loss by the weights; None where one is not used."""
        return torch.autograd.grad(
            self.loss(batch, mix), list(self.weights.values()), allow_unused=True
        )

    def move_arch(self, grads: Grads) -> None:
        for alpha, grad in zip(self.alphas.values(), grads, strict=True):
            alpha.grad = None if grad is None else grad.detach()
        self.adam.step()

    def move_weights(
        self, step: int, batch: Batch, mix: Mapping[str, Tensor] | None = None
    ) -> None:
        self.descend(step, self.slopes(batch, self.held() if mix is None else mix))

    def descend(self, step: int, grads: Grads) -> None:
        """The weights down a gradient that is known, clipped."""
        for group in self.sgd.param_groups:
            group["lr"] = self.rate(step)
        for weight, grad in zip(self.weights.values(), grads, strict=True):
            weight.grad = grad
        nn.utils.clip_grad_norm_(self.weights.values(), self.clip)
        self.sgd.step()
