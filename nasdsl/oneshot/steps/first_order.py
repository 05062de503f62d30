"""Alternating first-order steps (DARTS, arXiv 1806.09055, section 2.3 with xi = 0).

First the architecture along the gradient of the validation loss, then the weights along that of
the training loss. Neither move touches the other's parameters; gradients of the other's are
computed, and what they need is kept, only where a component asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nasdsl.oneshot.accumulate import Gradients, added, passed
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
    batch = session.next_valid()
    rules = session.parts.gradient_rules
    both = any(rule.wants_validation_gradients for rule in rules)
    wanted: dict[str, Tensor] = {f"arch:{n}": a for n, a in session.alphas.items()}
    if both:
        wanted |= session.weights
    sample = session.sample(ARCH)
    with still(() if both else session.weights.values()):
        made = passed(session, batch, sample, wanted, penalized=True)
    found = made.gradients
    session.move_arch({n: found[f"arch:{n}"] for n in session.alphas})
    for rule in rules:
        rule.on_arch(session, {n: found.get(n) for n in session.weights})
    session.valid_meter.add(made.loss, made.logits, batch[1])


def weight_step(session: Session, batch: Batch | None = None) -> None:
    """One move of the weights on a training batch; over several paths gradients add up."""
    x, y = batch if batch is not None else session.next_train()
    total: Gradients = dict.fromkeys(session.weights)
    for sample in session.weight_samples():
        if session.parts.perturb is not None:
            sample = session.parts.perturb.apply(session, x, y, sample)
        made = passed(session, (x, y), sample, session.weights)
        for rule in session.parts.gradient_rules:
            rule.on_weights(session, x, y, sample, made.gradients)
        total = added(total, made.gradients)
        session.train_meter.add(made.loss, made.logits, y)
    session.move_weights(total)
