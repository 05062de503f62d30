"""One step for both: architecture and weights move along one loss on one training batch."""

from __future__ import annotations

from dataclasses import dataclass

from nasdsl.oneshot.accumulate import passed
from nasdsl.oneshot.parts import ARCH, WEIGHTS
from nasdsl.oneshot.session import Session


@dataclass(frozen=True, slots=True)
class Joint:
    """`joint`: single-level optimization (SNAS, arXiv 1812.09926).

    Both gradients come from one backward pass; penalties act on the architecture alone. The
    validation half is not used by the steps.
    """

    def run(self, session: Session) -> None:
        x, y = session.next_train()
        sample = session.sample(ARCH)
        moves_arch = session.due(ARCH)
        wanted = dict(session.weights)
        if moves_arch:
            wanted |= {f"arch:{n}": a for n, a in session.alphas.items()}
        made = passed(session, (x, y), sample, wanted, penalized=moves_arch)
        found = made.gradients
        if moves_arch:
            session.move_arch({n: found[f"arch:{n}"] for n in session.alphas})
        if session.due(WEIGHTS):
            slopes = {n: found[n] for n in session.weights}
            for rule in session.parts.gradient_rules:
                rule.on_weights(session, x, y, sample, slopes)
            session.move_weights(slopes)
        session.train_meter.add(made.loss, made.logits, y)
