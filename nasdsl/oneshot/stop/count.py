"""Stop when the derived cells hold too many of one operation (DARTS+, arXiv 1909.06035)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nasdsl.ir import discretize
from nasdsl.oneshot.parts import Verdict
from nasdsl.oneshot.session import Session


@dataclass(frozen=True, slots=True)
class Count:
    """`count(op, cells, above, start)`: counted in the genotype, not in the supernet."""

    op: str
    cells: tuple[str, ...] | None
    above: int
    start: Any

    def after_epoch(self, session: Session, epoch: int) -> Verdict | None:
        if not session.time("stop").reached(self.start):
            return None
        genotype = session.parts.select.genotype(session)
        for cell in self.cells or tuple(session.supernet.tables):
            found = discretize.count(genotype, self.op, cell)
            if found > self.above:
                return Verdict(reason=f"{found} {self.op} in {cell}", stop=True)
        return None
