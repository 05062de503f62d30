"""Alignment of the layers (Lambda-DARTS, arXiv 2210.07998).

Lambda is the mean over pairs of layers of how alike the gradients of the loss in their mixes are.
The weights move along the loss minus `weight` times Lambda; the derivative of Lambda in the
weights is a central difference of the loss's gradient along a perturbation of every layer's mix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nasdsl.oneshot.accumulate import Gradients, passed
from nasdsl.oneshot.samplers.sample import Sample
from nasdsl.oneshot.session import Batch, Session

_TINY = 1e-12


def directions(layers: list[Tensor], form: str) -> list[Tensor]:
    """d Lambda / d g of every layer's gradient g, flat.

    `corr`: Lambda is the mean cosine of pairs. `signcorr`: the mean of <g, h> / <|g|, |h|>.
    """
    pairs = len(layers) * (len(layers) - 1) / 2
    if form == "corr":
        units = [g / g.norm().clamp(min=_TINY) for g in layers]
        total = torch.stack(units).sum(dim=0)
        return [
            (total - u * u.dot(total)) / g.norm().clamp(min=_TINY) / pairs
            for g, u in zip(layers, units, strict=True)
        ]
    found = []
    for i, g in enumerate(layers):
        move = torch.zeros_like(g)
        for j, h in enumerate(layers):
            if i != j:
                size = g.abs().dot(h.abs()).clamp(min=_TINY)
                move = move + (1 - g.dot(h) / size * g.sign() * h.sign()) * h / size
        found.append(move / pairs)
    return found


def score(layers: list[Tensor]) -> Tensor:
    """Lambda of flat gradients: the mean cosine over pairs; 0 for fewer than two layers.

    A gradient of zero is alike to no other: its cosines are 0.
    """
    if len(layers) < 2:
        return torch.zeros(())
    stacked = torch.stack([g / g.norm().clamp(min=_TINY) for g in layers])
    alike = stacked @ stacked.t()
    n = len(layers)
    return (alike.sum() - alike.diagonal().sum()) / (n * (n - 1))


@dataclass(frozen=True, slots=True)
class Align:
    """`layers(weight, eps, form, cells)`: two extra forward and backward passes a step."""

    weight: Any
    eps: float
    form: str
    cells: tuple[str, ...] | None
    wants_validation_gradients: bool = False

    def on_arch(self, session: Session, validation: Mapping[str, Tensor | None]) -> None:
        """Nothing: the rule acts on the weights."""

    def on_weights(
        self,
        session: Session,
        x: Tensor,
        y: Tensor,
        sample: Sample,
        gradients: dict[str, Tensor | None],
    ) -> None:
        weight = session.now(self.weight, "align")
        if weight == 0:
            return
        slots = [s for s in session.supernet.slots if self.cells is None or s.table in self.cells]
        for table in dict.fromkeys(s.table for s in slots):
            own = [s.instance for s in slots if s.table == table]
            if len(own) > 1:
                self._table(session, x, y, sample, gradients, own, weight)

    def _table(
        self,
        session: Session,
        x: Tensor,
        y: Tensor,
        sample: Sample,
        gradients: dict[str, Tensor | None],
        instances: list[str],
        weight: float,
    ) -> None:
        spread = session.supernet.spread(sample.mix)
        leaves = {i: spread[i].detach().requires_grad_() for i in instances}
        found = _gradients(session, (x, y), sample, leaves, leaves)
        layers = [
            (g if (g := found[i]) is not None else torch.zeros_like(leaves[i])).flatten()
            for i in instances
        ]
        moves = directions(layers, self.form)
        norm = torch.stack([m.square().sum() for m in moves]).sum().sqrt()
        eps = self.eps / norm.clamp(min=_TINY)
        sides = []
        for sign in (1, -1):
            moved = {
                i: leaves[i].detach() + sign * eps * m.view_as(leaves[i])
                for i, m in zip(instances, moves, strict=True)
            }
            sides.append(_gradients(session, (x, y), sample, moved, session.weights))
        for name, up in sides[0].items():
            down, slope = sides[1][name], gradients[name]
            if up is not None and down is not None and slope is not None:
                gradients[name] = slope - weight * (up - down) / (2 * eps)


def _gradients(
    session: Session,
    batch: Batch,
    sample: Sample,
    own: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
) -> Gradients:
    """Gradients of the loss where some instances have mixes of their own."""
    return passed(session, batch, replace(sample, mix={**sample.mix, **own}), wanted).gradients
