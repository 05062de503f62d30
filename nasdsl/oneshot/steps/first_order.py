"""Alternating first-order steps (DARTS, arXiv 1806.09055, section 2.3 with xi = 0).

First the architecture along the gradient of the validation loss, then the weights along that of
the training loss. Neither move touches the other's parameters or computes gradients for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from nasdsl.oneshot.optimizers import gradients
from nasdsl.oneshot.parts import ARCH, WEIGHTS
from nasdsl.oneshot.session import Session


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
    sample = session.sample(ARCH)
    logits = session.forward(x, sample)
    loss = session.loss(logits, y)
    found = gradients(session.penalized(loss, sample), session.alphas)
    session.move_arch(found)
    session.valid_meter.add(loss, logits, y)
    for rule in session.parts.gradient_rules:
        rule.on_arch(session, x, y, sample)


def weight_step(session: Session) -> None:
    """One move of the weights on a training batch."""
    x, y = session.next_train()
    sample = session.sample(WEIGHTS)
    if session.parts.perturb is not None:
        sample = session.parts.perturb.apply(session, x, y, sample)
    logits = session.forward(x, sample)
    loss = session.loss(logits, y)
    found = gradients(loss, session.weights)
    for rule in session.parts.gradient_rules:
        rule.on_weights(session, x, y, sample, found)
    session.move_weights(found)
    session.train_meter.add(loss, logits, y)
