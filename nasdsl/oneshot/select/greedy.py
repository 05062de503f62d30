"""Sequential greedy decisions (SGAS, arXiv 1912.00195, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nasdsl.ir.config import Time
from nasdsl.ir.genotype import Genotype
from nasdsl.oneshot.parts import Verdict
from nasdsl.oneshot.select.edges import NONE, Edges, nodes_of
from nasdsl.oneshot.session import Session

Rows = Mapping[str, Mapping[str, float]]


def importance(row: Mapping[str, float]) -> float:
    """1 - p_none: the sum of the weights of all operations but `none` (equation 3)."""
    return sum(w for label, w in row.items() if label != NONE)


def without_none(row: Mapping[str, float]) -> dict[str, float]:
    """The distribution over the operations that are not `none`."""
    total = importance(row)
    rest = {label: w for label, w in row.items() if label != NONE}
    return {label: w / total if total > 0 else 1 / len(rest) for label, w in rest.items()}


def certainty(p: Mapping[str, float]) -> float:
    """1 - H(p) / log |p|; of one operation 1 (equation 5)."""
    if len(p) < 2:
        return 1.0
    return 1 + sum(w * math.log(w) for w in p.values() if w > 0) / math.log(len(p))


def stability(p: Mapping[str, float], before: Sequence[Mapping[str, float]]) -> float:
    """The mean histogram intersection with earlier distributions; 0 without any (equation 7)."""
    if not before:
        return 0.0
    return sum(sum(min(w, q[label]) for label, w in p.items()) for q in before) / len(before)


def normalized(values: Mapping[str, float]) -> dict[str, float]:
    """Min-max scaled to [0, 1]; all 0 where all are equal."""
    low, high = min(values.values()), max(values.values())
    return {k: (v - low) / (high - low) if high > low else 0.0 for k, v in values.items()}


def rank(rows: Rows, history: Sequence[Rows] | None) -> dict[str, float]:
    """The score of every edge of a cell: the product of its normalised criteria (equations 6, 8).

    `rows` are the weights of the labels of each edge; edges that are decided stand with the
    weights they had then, as normalisation runs over all edges of the cell. With `history`
    (criterion 2) stability counts as well.
    """
    p = {edge: without_none(row) for edge, row in rows.items()}
    parts = [
        normalized({edge: importance(row) for edge, row in rows.items()}),
        normalized({edge: certainty(q) for edge, q in p.items()}),
    ]
    if history is not None:
        before = [{e: without_none(row) for e, row in old.items()} for old in history]
        parts.append(
            normalized({edge: stability(q, [b[edge] for b in before]) for edge, q in p.items()})
        )
    return {edge: math.prod(part[edge] for part in parts) for edge in rows}


@dataclass(slots=True)
class Greedy:
    """`greedy(criterion, start, every, history, batch_step)`.

    From epoch `start` (the first is 0) on, every `every` epochs, the edge of each cell with the
    highest score is decided: its strongest operation but `none` stays. A node that has its edges
    loses the others. Supernet and batch follow: what is gone is not computed any more, and the
    batch grows by `batch_step`. What is still open at the end is decided by strength.
    """

    criterion: int
    start: Any
    every: int
    size: int
    batch_step: int
    edges: Edges = field(default_factory=Edges)
    #: The weights that decided and dropped edges had, and those of all edges of past epochs.
    frozen: dict[str, dict[str, float]] = field(default_factory=dict)
    past: list[dict[str, dict[str, float]]] = field(default_factory=list)

    def after_epoch(self, session: Session, epoch: int) -> Verdict | None:
        clock = session.time("select")
        rows = self._rows(session)
        past = list(self.past) if self.criterion == 2 else None
        self.past = [*self.past, rows][-self.size :] if self.size else []
        start = _epochs(self.start, clock.epochs)
        if clock.epoch < start or (clock.epoch - start) % self.every:
            return None
        changed: list[str] = []
        chosen: list[str] = []
        for cell, open_ in self.edges.open(session).items():
            members = self._cell(session, cell, rows)
            history = None if past is None else [_only(old, members) for old in past]
            score = rank({e: rows[e] for e in members}, history)
            edge = max(open_, key=lambda e: score[e])
            p = without_none(rows[edge])
            label = max(p, key=lambda k, p=p: p[k])  # type: ignore[misc]
            self.edges.decided[edge] = label
            self.frozen[edge] = rows[edge]
            chosen.append(f"{edge} = {label}")
            changed.append(edge)
            changed.extend(self._complete(session, edge, rows))
        if not changed:
            return None
        changes: tuple[tuple[str, float], ...] = ()
        if self.batch_step:
            changes = (("batch", float(session.recipe.get("batch")) + self.batch_step),)
        return Verdict(
            reason="decided " + ", ".join(chosen),
            keep=tuple(self.edges.keep(session, changed).items()),
            changes=changes,
        )

    def _rows(self, session: Session) -> dict[str, dict[str, float]]:
        """The weights of every edge by label; those of edges that are settled as they were."""
        mix = session.mix_by_decision()
        found: dict[str, dict[str, float]] = {}
        for name, table in session.supernet.tables.items():
            for decision, labels in zip(table.decisions, table.labels, strict=True):
                row = mix[name][decision]
                found[decision] = dict(zip(labels, row, strict=True))
        return found | self.frozen

    def _cell(self, session: Session, cell: str, rows: Rows) -> list[str]:
        """The edges whose scores are compared: open ones of a cell, and those settled before."""
        if not cell:
            inside = {e for ns in nodes_of(session.space).values() for n in ns for e in n.edges}
            return [e for e in rows if e not in inside]
        edges = [e for node in nodes_of(session.space)[cell] for e in node.edges]
        return [e for e in edges if e in rows]

    def _complete(self, session: Session, edge: str, rows: Rows) -> list[str]:
        """Drop the other edges of a node that has as many decided ones as it keeps."""
        for nodes in nodes_of(session.space).values():
            for node in nodes:
                if edge not in node.edges or node.count is None:
                    continue
                if sum(e in self.edges.decided for e in node.edges) < node.count:
                    return []
                gone = [
                    e
                    for e in node.edges
                    if e in rows and e not in self.edges.decided and e not in self.edges.dropped
                ]
                self.edges.dropped.extend(gone)
                self.frozen.update({e: dict(rows[e]) for e in gone})
                return gone
        return []

    def apply(self, session: Session, mix: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.edges.apply(session, mix)

    def genotype(self, session: Session) -> Genotype:
        return self.edges.genotype(session)

    def so_far(self, session: Session) -> Genotype:
        """The architecture as it stands between epochs."""
        return self.edges.genotype(session)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {}, {**self.edges.state(), "frozen": self.frozen, "past": self.past}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        self.edges.restore(values)
        self.frozen, self.past = dict(values["frozen"]), list(values["past"])


def _epochs(start: Any, total: int) -> int:
    if isinstance(start, Time):
        return round(start.epochs(total))
    return int(start or 0)


def _only(rows: Rows, edges: Sequence[str]) -> Rows:
    return {e: rows[e] for e in edges}
