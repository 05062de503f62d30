"""Weights alone are trained; the architecture is found afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from nasdsl.oneshot.session import Session
from nasdsl.oneshot.steps.first_order import weight_step


@dataclass(frozen=True, slots=True)
class WeightsOnly:
    """`weights_only` (SPOS, arXiv 1904.00420)."""

    def run(self, session: Session) -> None:
        weight_step(session)
