"""Stop when the ranking of the options has stopped changing (DARTS+, arXiv 1909.06035)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nasdsl.oneshot.parts import Verdict
from nasdsl.oneshot.session import Session


@dataclass(slots=True)
class Plateau:
    """`plateau(epochs, start)`: the same architecture for so many epochs in a row."""

    epochs: int
    start: Any
    last: list[list[str]] = field(default_factory=list)
    same: int = 0

    def after_epoch(self, session: Session, epoch: int) -> Verdict | None:
        picks = [list(p) for p in session.parts.select.genotype(session).picks]
        self.same = self.same + 1 if picks == self.last else 0
        self.last = picks
        if session.time("stop").reached(self.start) and self.same >= self.epochs:
            return Verdict(reason=f"no change for {self.same} epochs", stop=True)
        return None

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {}, {"last": self.last, "same": self.same}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        self.last, self.same = values["last"], values["same"]
