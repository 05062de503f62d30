"""Gradients of a training loss that can be differentiated again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nasdsl.oneshot.narrow import careful


@dataclass(frozen=True, slots=True)
class Curvature:
    """The gradient in the weights of a loss L(w, alpha), with its graph kept.

    `times` and `mixed` are exact products with second derivatives; no matrix is built.
    """

    weights: Mapping[str, Tensor]
    alphas: Mapping[str, Tensor]
    gradient: Mapping[str, Tensor]

    @classmethod
    def of(
        cls, loss: Tensor, weights: Mapping[str, Tensor], alphas: Mapping[str, Tensor]
    ) -> Curvature:
        # A frozen weight has no gradient, as one that the loss ignores.
        free = [name for name, w in weights.items() if w.requires_grad]
        with careful(loss, weights):
            found = torch.autograd.grad(
                loss, [weights[n] for n in free], create_graph=True, allow_unused=True
            )
        slopes = dict(zip(free, found, strict=True))
        gradient = {
            name: g if (g := slopes.get(name)) is not None else torch.zeros_like(w)
            for name, w in weights.items()
        }
        return cls(weights, alphas, gradient)

    def times(self, vector: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """H_ww v."""
        return self._product(vector, self.weights)

    def mixed(self, vector: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """d/d alpha of (dL/dw . v), by the names of the alphas."""
        return self._product(vector, self.alphas)

    def _product(self, vector: Mapping[str, Tensor], by: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # Parameters the loss ignores have a constant gradient and no part in the product.
        names = [n for n, g in self.gradient.items() if g.requires_grad]
        free = [n for n, value in by.items() if value.requires_grad]
        with careful(next(iter(self.gradient.values())), self.weights):
            found = torch.autograd.grad(
                [self.gradient[n] for n in names],
                [by[n] for n in free],
                grad_outputs=[vector[n] for n in names],
                retain_graph=True,
                allow_unused=True,
            )
        slopes = dict(zip(free, found, strict=True))
        return {
            name: g if (g := slopes.get(name)) is not None else torch.zeros_like(value)
            for name, value in by.items()
        }
