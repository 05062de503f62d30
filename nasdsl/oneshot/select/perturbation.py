"""The option whose removal hurts most (DARTS-PT, arXiv 2108.04392, Algorithms 1 and 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Space
from nasdsl.oneshot.metrics import evaluate
from nasdsl.oneshot.parts import Verdict
from nasdsl.oneshot.select.edges import Edges, Node, nodes_of
from nasdsl.oneshot.select.subnet import Mixed, kept
from nasdsl.oneshot.session import Session


@dataclass(slots=True)
class Perturbation:
    """`perturbation(metric, every, order, norm)`.

    After the search one edge of each cell at a time: each of its options is taken out of the
    mixture, which is not rescaled, and the one stays whose removal makes `search.valid` worst.
    Then every node loses, one by one, the edges whose removal harms least, down to those it
    keeps. In between the supernet is tuned for `every` epochs. `order` is that of edges and nodes;
    `norm` says whether batch-norms use the statistics of the batch (as the authors do) or running
    ones.
    """

    metric: str
    every: int
    order: str
    norm: str
    edges: Edges = field(default_factory=Edges)
    #: Nodes that have lost their edges.
    done: list[str] = field(default_factory=list)

    def extra_epochs(self, session: Session) -> int:
        """Epochs of tuning after the search: `every` between two rounds."""
        edges = max((len(e) for e in self.edges.open(session).values()), default=0)
        nodes = max((len(ns) for ns in _crowded(session.space).values()), default=0)
        return self.every * max(0, edges + nodes - 1)

    def after_epoch(self, session: Session, epoch: int) -> Verdict | None:
        passed = epoch + 1 - session.base
        if passed < 0 or passed % self.every:
            return None
        changed: list[str] = []
        reasons: list[str] = []
        open_ = self.edges.open(session)
        if open_:
            for edges in open_.values():
                edge = edges[self._place(session, len(edges))]
                label = self._strongest(session, edge)
                if label is None:
                    continue
                self.edges.decided[edge] = label
                changed.append(edge)
                reasons.append(f"{edge} = {label}")
        else:
            for table, nodes in _crowded(session.space).items():
                left = [n for n in nodes if f"{table}/{n.name}" not in self.done]
                if not left:
                    continue
                node = left[self._place(session, len(left))]
                gone = self._weakest(session, node)
                self.done.append(f"{table}/{node.name}")
                changed.extend(gone)
                reasons.append(f"{table}/{node.name} without {', '.join(gone)}")
        if not changed:
            return None
        return Verdict(
            reason="decided " + "; ".join(reasons),
            keep=tuple(self.edges.keep(session, changed).items()),
        )

    def _place(self, session: Session, count: int) -> int:
        if self.order != "random":
            return 0
        return int(torch.randint(count, (), generator=session.noise))

    def _strongest(self, session: Session, edge: str) -> str | None:
        """The option whose removal leaves the least; the first of equal ones."""
        excluded = {
            label
            for nodes in nodes_of(session.space).values()
            for node in nodes
            if edge in node.edges
            for label in node.exclude
        }
        mix = self._mix(session)
        best: tuple[float, str] | None = None
        for name, table in session.supernet.tables.items():
            if edge not in table.decisions:
                continue
            row = table.decisions.index(edge)
            for column, label in enumerate(table.labels[row]):
                if label in excluded:
                    continue
                without = mix[name].clone()
                without[row, column] = 0
                worth = self._worth(session, {**mix, name: without})
                if best is None or worth < best[0]:
                    best = (worth, label)
        return best[1] if best is not None else None

    def _weakest(self, session: Session, node: Node) -> list[str]:
        """Drop edges of a node until it has as many as it keeps; those that were dropped."""
        held = {d for t in session.supernet.tables.values() for d in t.decisions}
        left = [e for e in node.edges if e in held and e not in self.edges.dropped]
        gone: list[str] = []
        while node.count is not None and len(left) > node.count:
            worths = {}
            for edge in left:
                self.edges.dropped.append(edge)
                worths[edge] = self._worth(session, self._mix(session))
                self.edges.dropped.pop()
            least = max(left, key=lambda e: worths[e])  # noqa: B023 - used at once
            self.edges.dropped.append(least)
            left.remove(least)
            gone.append(least)
        return gone

    def _mix(self, session: Session) -> dict[str, Tensor]:
        return self.edges.apply(session, session.expected())

    def _worth(self, session: Session, mix: Mapping[str, Tensor]) -> float:
        """How good a mixture is on `search.valid`; higher is better."""
        if session.held is None:
            raise ValueError("this search has no held-out images to measure on")
        net = Mixed(session.supernet.in_mode("dense"), session.layout, mix)
        with kept(session.supernet):
            net.train(self.norm == "batch")
            loss, accuracy = evaluate(net, session.held.valid(), world=session.world)
        return accuracy if self.metric == "accuracy" else -loss

    def apply(self, session: Session, mix: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.edges.apply(session, mix)

    def genotype(self, session: Session) -> Genotype:
        return self.edges.genotype(session)

    def so_far(self, session: Session) -> Genotype:
        """The architecture as it stands between epochs."""
        return self.edges.genotype(session)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {}, {**self.edges.state(), "done": self.done}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        self.edges.restore(values)
        self.done = list(values["done"])


def _crowded(space: Space) -> dict[str, list[Node]]:
    """Nodes with more edges than they keep, by cell."""
    found = {
        table: [n for n in nodes if n.count is not None and len(n.edges) > n.count]
        for table, nodes in nodes_of(space).items()
    }
    return {table: nodes for table, nodes in found.items() if nodes}
