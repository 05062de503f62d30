"""Alternating first-order steps (DARTS, arXiv 1806.09055, section 2.3 with xi = 0).

First the architecture along the gradient of the validation loss, then the weights along that of
the training loss. Neither move touches the other's parameters; gradients of the other's are
computed, and what they need is kept, only where a component asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nasdsl.oneshot.optimizers import gradients
from nasdsl.oneshot.parts import ARCH, WEIGHTS
from nasdsl.oneshot.session import Batch, Session
from nasdsl.oneshot.still import still


@dataclass(frozen=True, slots=True)
class FirstOrder:
    """`alternating(order = first)`."""

    def run(self, session: Session) -> None:
        if session.due(ARCH):
            arch_step(session)
        if session.due(WEIGHTS):
            weight_step(session)


def arch_step(session: Session) -> None:
    """One move of the architecture on a validation batch."""
    x, y = session.next_valid()
    rules = session.parts.gradient_rules
    both = any(rule.wants_validation_gradients for rule in rules)
    wanted: dict[str, Tensor] = {f"arch:{n}": a for n, a in session.alphas.items()}
    if both:
        wanted |= session.weights
    sample = session.sample(ARCH)
    with still(() if both else session.weights.values()):
        logits = session.forward(x, sample)
        loss = session.loss(logits, y)
        found = gradients(session.penalized(loss, sample), wanted)
    session.move_arch({n: found[f"arch:{n}"] for n in session.alphas})
    for rule in rules:
        rule.on_arch(session, {n: found.get(n) for n in session.weights})
    session.valid_meter.add(loss, logits, y)


def weight_step(session: Session, batch: Batch | None = None) -> None:
    """One move of the weights on a training batch; over several paths gradients add up."""
    x, y = batch if batch is not None else session.next_train()
    total: dict[str, Tensor | None] = dict.fromkeys(session.weights)
    for sample in session.weight_samples():
        if session.parts.perturb is not None:
            sample = session.parts.perturb.apply(session, x, y, sample)
        logits = session.forward(x, sample)
        loss = session.loss(logits, y)
        found = gradients(loss, session.weights)
        for rule in session.parts.gradient_rules:
            rule.on_weights(session, x, y, sample, found)
        for name, slope in found.items():
            before = total[name]
            total[name] = slope if before is None else before if slope is None else before + slope
        session.train_meter.add(loss, logits, y)
    session.move_weights(total)
