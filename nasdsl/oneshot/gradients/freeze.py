"""Freezing operations whose training and validation gradients disagree (OLES).

"Operation-level early stopping for robustifying differentiable NAS" (NeurIPS 2023): the gradient
matching score of an operation is the cosine between the gradients that a training and a
validation batch give its weights. Both are taken at the same weights and from losses of their
own; nothing accumulates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nasdsl.oneshot.samplers.sample import Sample
from nasdsl.oneshot.session import Session


def matching(a: Tensor, b: Tensor) -> Tensor:
    """The cosine along the first axis, averaged over the others, as the paper's code has it."""
    return F.cosine_similarity(a, b, dim=0).mean()


def groups(session: Session) -> dict[str, tuple[str, ...]]:
    """The weights of every option that has some: option -> names."""
    found: dict[str, tuple[str, ...]] = {}
    for prefix in session.supernet.options:
        names = tuple(n for n in session.weights if n.startswith(f"{prefix}."))
        if names:
            found[prefix] = names
    return found


@dataclass(slots=True)
class Freeze:
    """`alignment(every, below)`: every so many steps, options whose mean score is below freeze.

    A frozen option keeps running; its weights no longer move. The scores are gathered on the
    device and read once per decision.
    """

    every: int
    below: float
    wants_validation_gradients: bool = True
    frozen: set[str] = field(default_factory=set)
    scores: Tensor | None = None
    counts: Tensor | None = None
    steps: int = 0
    held: dict[str, Tensor] = field(default_factory=dict)

    def on_arch(self, session: Session, validation: Mapping[str, Tensor | None]) -> None:
        self.held = {n: g for n, g in validation.items() if g is not None}

    def on_weights(
        self,
        session: Session,
        x: Tensor,
        y: Tensor,
        sample: Sample,
        gradients: dict[str, Tensor | None],
    ) -> None:
        options = groups(session)
        if self.held:
            self._score(session, options, gradients)
        for prefix in self.frozen:
            for name in options.get(prefix, ()):
                gradients[name] = None

    def _score(
        self,
        session: Session,
        options: Mapping[str, tuple[str, ...]],
        gradients: Mapping[str, Tensor | None],
    ) -> None:
        if self.scores is None or self.counts is None or len(self.scores) != len(options):
            self.scores = torch.zeros(len(options), device=session.device)
            self.counts = torch.zeros(len(options), device=session.device)
        for i, names in enumerate(options.values()):
            pairs = [
                (self.held[n], g)
                for n in names
                if n in self.held and (g := gradients.get(n)) is not None
            ]
            if pairs:
                self.scores[i] += torch.stack([matching(a, b) for a, b in pairs]).mean()
                self.counts[i] += 1
        self.held = {}
        self.steps += 1
        if self.steps % self.every == 0:
            means = (self.scores / self.counts.clamp(min=1)).tolist()
            seen = self.counts.tolist()
            self.frozen |= {
                prefix
                for prefix, mean, count in zip(options, means, seen, strict=True)
                if count and mean < self.below
            }
            self.scores.zero_()
            self.counts.zero_()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {}
        if self.scores is not None and self.counts is not None:
            tensors = {"scores": self.scores, "counts": self.counts}
        return tensors, {"frozen": sorted(self.frozen), "steps": self.steps}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        self.frozen, self.steps = set(values["frozen"]), int(values["steps"])
        self.scores, self.counts = tensors.get("scores"), tensors.get("counts")
        self.held = {}
