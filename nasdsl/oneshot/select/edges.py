"""Decisions that a selection makes one by one while the supernet is still trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nasdsl.ir import discretize
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Space
from nasdsl.oneshot.session import Session

#: The operation that is no operation.
NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node with the decisions on its edges, how many of them stay (None: all), and what may
    not be picked."""

    name: str
    edges: tuple[str, ...]
    count: int | None
    exclude: tuple[str, ...]


def nodes_of(space: Space) -> dict[str, list[Node]]:
    """The nodes of every cell by its table."""
    found: dict[str, list[Node]] = {}
    for rules in space.rules:
        for name, edges in rules.rows:
            keep = next((k for k in rules.keeps if name in k.targets), None)
            found.setdefault(rules.table, []).append(
                Node(
                    name=name,
                    edges=edges,
                    count=keep.count if keep is not None else None,
                    exclude=keep.exclude if keep is not None else (),
                )
            )
    return found


@dataclass(slots=True)
class Edges:
    """What is decided so far: labels by decision, and edges that are gone."""

    decided: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)

    def open(self, session: Session) -> dict[str, list[str]]:
        """Decisions of the supernet that are still open, by cell; those outside cells together.

        A decision with one option is decided by itself, and which edges are taken is not decided
        edge by edge.
        """
        cells = {
            e: t for t, nodes in nodes_of(session.space).items() for n in nodes for e in n.edges
        }
        subsets = {d.id for d in session.space.decisions if d.kind == "subset"}
        found: dict[str, list[str]] = {}
        for table in session.supernet.tables.values():
            for decision, labels in zip(table.decisions, table.labels, strict=True):
                free = decision not in self.decided and decision not in self.dropped
                if free and len(labels) > 1 and decision not in subsets:
                    found.setdefault(cells.get(decision, ""), []).append(decision)
        return found

    def keep(self, session: Session, decisions: list[str]) -> dict[str, tuple[str, ...]]:
        """What the supernet is rebuilt with once these were decided or dropped.

        Only decisions between operations can be pruned, and an edge goes where it may be `none`;
        for all others `apply` fixes the weights.
        """
        kinds = {d.id: d.kind for d in session.space.decisions}
        labels = {
            d: row
            for t in session.supernet.tables.values()
            for d, row in zip(t.decisions, t.labels, strict=True)
        }
        found: dict[str, tuple[str, ...]] = {}
        for decision in decisions:
            label = self.decided.get(decision, NONE)
            here = labels.get(decision, ())
            if kinds.get(decision) == "op" and label in here and len(here) > 1:
                found[decision] = (label,)
        return found

    def apply(self, session: Session, mix: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weight 1 for what is decided, 0 for edges that are gone."""
        if not self.decided and not self.dropped:
            return mix
        found = dict(mix)
        for name, table in session.supernet.tables.items():
            rows = {}
            for i, (decision, labels) in enumerate(zip(table.decisions, table.labels, strict=True)):
                if decision in self.dropped:
                    rows[i] = -1
                elif self.decided.get(decision) in labels:
                    rows[i] = labels.index(self.decided[decision])
            if rows:
                found[name] = _fixed(mix[name], rows)
        return found

    def genotype(self, session: Session) -> Genotype:
        """What is decided, and the strongest options for the rest."""
        space = session.held.limits.space if session.held is not None else session.space
        mix = session.mix_by_decision()
        known = {d: row for rows in mix.values() for d, row in rows.items()}
        weights: dict[str, dict[str, list[float]]] = {}
        for table, decisions in space.tables().items():
            weights[table] = {}
            for decision in _all(decisions):
                row = self._row(session, decision.id, decision.labels, known)
                if row is not None:
                    weights[table][decision.id] = row
        return discretize.argmax(space, weights)

    def _row(
        self,
        session: Session,
        decision: str,
        labels: tuple[str, ...],
        known: Mapping[str, list[float]],
    ) -> list[float] | None:
        if decision in self.dropped:
            return [-1.0] * len(labels)
        if decision in self.decided:
            return [2.0 if label == self.decided[decision] else 0.0 for label in labels]
        row = known.get(decision)
        if row is None:
            return None
        here = next(
            ls
            for t in session.supernet.tables.values()
            for d, ls in zip(t.decisions, t.labels, strict=True)
            if d == decision
        )
        by_label = dict(zip(here, row, strict=True))
        return [by_label.get(label, 0.0) for label in labels]

    def state(self) -> dict[str, Any]:
        return {"decided": dict(self.decided), "dropped": list(self.dropped)}

    def restore(self, values: Mapping[str, Any]) -> None:
        self.decided, self.dropped = dict(values["decided"]), list(values["dropped"])


def _all(decisions: tuple[Any, ...]) -> list[Any]:
    return [x for d in decisions for x in (d, *(y for below in d.nested for y in _all(below)))]


def _fixed(mix: Tensor, rows: Mapping[int, int]) -> Tensor:
    """The mix with rows that are one-hot, or zero for -1."""
    fresh = torch.zeros(len(rows), mix.shape[1]).to(mix)
    for at, column in enumerate(rows.values()):
        if column >= 0:
            fresh[at, column] = 1.0
    index = torch.tensor(list(rows), device=mix.device)
    return mix.index_put((index,), fresh)
