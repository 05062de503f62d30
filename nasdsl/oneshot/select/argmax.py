"""The option with the largest weight of every decision (DARTS, arXiv 1806.09055, section 2.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasdsl.ir import discretize
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Space
from nasdsl.oneshot.session import Session

Mix = Mapping[str, Mapping[str, Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Argmax:
    """`argmax`: strongest options, by the `keep` rules of the space.

    `limit = {skip_connect: 2}` allows so many of an option per cell, in the named `cells` or in
    all: while a cell has more, the weakest of them loses its weight and the cell is settled
    anew (P-DARTS, arXiv 1904.12760, section 3.3).
    """

    limit: Mapping[Any, Any] | None = None
    cells: Any = None

    def genotype(self, session: Session) -> Genotype:
        return limited(
            session.space, session.mix_by_decision(), bounds(self.limit), names(self.cells)
        )


def bounds(limit: Mapping[Any, Any] | None) -> dict[str, int]:
    """Option -> how many of it, from the argument of a recipe."""
    return {str(label): int(n) for label, n in (limit or {}).items()}


def names(cells: Any) -> frozenset[str] | None:
    """Tables from the argument of a recipe; None where it says nothing."""
    if cells is None:
        return None
    several = isinstance(cells, tuple | list | set | frozenset)
    return frozenset(str(c) for c in (cells if several else (cells,)))


def limited(
    space: Space, mix: Mix, limit: Mapping[str, int], cells: frozenset[str] | None
) -> Genotype:
    """The strongest architecture with at most so many of an option in a cell."""
    left = {t: {d: list(row) for d, row in rows.items()} for t, rows in mix.items()}
    place = {d: t for t, rows in left.items() for d in rows}
    decisions = {d.id: d for d in space.decisions}
    while True:
        genotype = discretize.argmax(space, left)
        weakest: tuple[float, str, int] | None = None
        for label, most in limit.items():
            for table in space.tables() if cells is None else sorted(cells):
                found = [
                    (left[table][d][k], d, k)
                    for d, picked in genotype.picks
                    if picked == label and place.get(d) == table and d in decisions
                    for k in (decisions[d].labels.index(label),)
                ]
                # What has no weight any more was the only option that is left.
                movable = [f for f in found if f[0] > float("-inf")]
                if len(found) > most and movable and weakest is None:
                    weakest = min(movable)
        if weakest is None:
            return genotype
        _, decision, k = weakest
        left[place[decision]][decision][k] = float("-inf")
