"""Measurements of a search's health, each with its cost; none changes the search.

A measurement gives a scalar on the device. All of an epoch are brought to the host together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nasdsl.ir import discretize
from nasdsl.oneshot.gradients.align import score
from nasdsl.oneshot.gradients.freeze import groups, matching
from nasdsl.oneshot.health import skips
from nasdsl.oneshot.health.curvature import hessian_product, largest_on_device
from nasdsl.oneshot.health.probe import Probe
from nasdsl.oneshot.optimizers import gradients as gradients_of
from nasdsl.oneshot.twice import twice


class Measure(Protocol):
    """A measurement after every `every` epochs (slot `measure`)."""

    @property
    def name(self) -> str: ...

    @property
    def every(self) -> int: ...

    def value(self, probe: Probe) -> Tensor:
        """A scalar, on the device."""
        ...


@dataclass(frozen=True, slots=True)
class Entropy:
    """Mean entropy of the rows of the mix, in nats. Reads the alphas: no pass."""

    every: int
    name: str = "entropy"

    def value(self, probe: Probe) -> Tensor:
        rows = [m / m.sum(dim=-1, keepdim=True) for m in probe.expected().values()]
        return torch.cat([torch.special.entr(m.double()).sum(dim=-1) for m in rows]).mean()


@dataclass(frozen=True, slots=True)
class SkipShare:
    """Mean weight of skip connections where they are offered. Reads the alphas: no pass."""

    every: int
    name: str = "skip_share"

    def value(self, probe: Probe) -> Tensor:
        labels = {
            d: row
            for t in probe.model.tables.values()
            for d, row in zip(t.decisions, t.labels, strict=True)
        }
        share = skips.weighed(probe.rows, labels, skips.skips(probe.session.space))
        return torch.tensor(share, dtype=torch.float64, device=probe.session.device)


@dataclass(frozen=True, slots=True)
class Gap:
    """What discretization costs: accuracy of the mix less that of the strongest architecture.

    In points, on one validation batch with batch statistics. Two forward passes.
    """

    every: int
    name: str = "gap"

    def value(self, probe: Probe) -> Tensor:
        x, y = probe.batch("valid")
        genotype = discretize.argmax(probe.session.space, probe.rows)
        hard = {}
        for name, table in probe.model.tables.items():
            mix = torch.zeros(table.shape, dtype=torch.float64)
            for i, (decision, labels) in enumerate(zip(table.decisions, table.labels, strict=True)):
                for label in genotype.of(decision):
                    mix[i, labels.index(label)] = 1.0
            hard[name] = mix.to(next(probe.model.parameters()))
        with torch.no_grad():
            found = [
                (probe.logits(x, mix).argmax(dim=1) == y).double().mean() * 100
                for mix in (probe.expected(), hard)
            ]
        return found[0] - found[1]


@dataclass(frozen=True, slots=True)
class GradientMatch:
    """The gradient matching score of OLES: how alike training and validation move the weights.

    The mean cosine over options of the weights' gradients of a training and a validation batch.
    Two forward and backward passes.
    """

    every: int
    name: str = "gradient_match"

    def value(self, probe: Probe) -> Tensor:
        mix, session = probe.expected(), probe.session
        sides = []
        for part in ("train", "valid"):
            x, y = probe.batch(part)
            sides.append(gradients_of(session.own_loss(probe.logits(x, mix), y), session.weights))
        means = []
        for names in groups(session).values():
            pairs = [
                matching(a, b)
                for n in names
                if (a := sides[0][n]) is not None and (b := sides[1][n]) is not None
            ]
            if pairs:
                means.append(torch.stack(pairs).mean())
        return torch.stack(means).mean() if means else torch.zeros((), device=session.device)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Lambda of Lambda-DARTS (2210.07998): how alike the layers' gradients in their mixes are.

    The mean cosine over pairs of layers of a table, averaged over tables with two layers or more;
    1 where there is none. One forward and backward pass.
    """

    every: int
    name: str = "alignment"

    def value(self, probe: Probe) -> Tensor:
        x, y = probe.batch("valid")
        mix = probe.expected()
        leaves = {
            i: m.detach().clone().requires_grad_() for i, m in probe.model.spread(mix).items()
        }
        loss = probe.session.own_loss(probe.logits(x, {**mix, **leaves}), y)
        found = gradients_of(loss, leaves)
        layers: dict[str, list[Tensor]] = {}
        for slot in probe.model.slots:
            gradient = found[slot.instance]
            if gradient is not None:
                layers.setdefault(slot.table, []).append(gradient.flatten())
        scores = [score(g).to(x.device) for g in layers.values() if len(g) > 1]
        return torch.stack(scores).mean() if scores else torch.ones((), device=x.device)


@dataclass(frozen=True, slots=True)
class Curvature:
    """The largest eigenvalue of the validation loss's Hessian in the alphas (1909.09656).

    On one batch, by Lanczos. One forward and backward pass, and a double backward per iteration.
    """

    every: int
    iterations: int
    name: str = "eigenvalue"

    def value(self, probe: Probe) -> Tensor:
        x, y = probe.batch("valid")
        alphas = probe.alphas()
        with twice():
            loss = probe.session.own_loss(probe.logits(x, probe.expected(alphas)), y)
        product, size = hessian_product(loss, list(alphas.values()))
        draw = torch.Generator().manual_seed(0)
        start = torch.randn(size, generator=draw, dtype=torch.float64).to(loss)
        return largest_on_device(product, start, iterations=self.iterations)
