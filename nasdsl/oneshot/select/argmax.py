"""The option with the largest weight of every decision (DARTS, arXiv 1806.09055, section 2.4)."""

from __future__ import annotations

from dataclasses import dataclass

from nasdsl.ir import discretize
from nasdsl.ir.genotype import Genotype
from nasdsl.oneshot.session import Session


@dataclass(frozen=True, slots=True)
class Argmax:
    """`argmax`: strongest options, by the `keep` rules of the space."""

    def genotype(self, session: Session) -> Genotype:
        return discretize.argmax(session.space, session.mix_by_decision())
