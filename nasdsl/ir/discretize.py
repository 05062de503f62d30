"""From mixing weights to a discrete architecture, by the rules of the space.

The strength of an edge is the largest weight among the options that may be chosen; a node keeps
its strongest edges. Ties: lower source first, then earlier option. Weights are those of the mix
(after softmax or sigmoid), never raw parameters, which are not comparable between edges.

Where `pick` decides which edges arrive at a node, the edges have weights of their own. `pick N`
takes the N strongest. Under `pick any` an edge stays whose weight is at least 1 / (number of edges
of the row), the weight it has where nothing is preferred; rows with different numbers of edges are
compared by weight times that number. A cell that this leaves without a path to its output gets
the strongest edge of every node that has none; a cell with more edges on such paths than its
`require edges <= N` allows loses its weakest ones, as long as a path is left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nasdsl.ir.cell import arrivals, subset_identity
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.requirement import Amount, Measure, Relation, Test
from nasdsl.ir.space import Decision, Space, TableRules

Rows = Sequence[Sequence[float]]


class DiscretizeError(ValueError):
    """The weights do not name an architecture (NaN, or nothing left to choose)."""


def argmax(
    space: Space,
    mix: Mapping[str, Mapping[str, Sequence[float]]],
    edge_weights: Mapping[str, float] | None = None,
) -> Genotype:
    """The strongest architecture of a mix: table -> decision -> weights of its options.

    `edge_weights` (decision -> factor) multiplies strengths, as the edge normalisation of
    PC-DARTS does; where the space has betas they are taken from the mix. Raises DiscretizeError.
    """
    picks: list[tuple[str, str]] = []
    every = {d: row for rows in mix.values() for d, row in rows.items()}
    edge_weights = {**_betas(space, every), **(edge_weights or {})}
    for table, decisions in space.tables().items():
        weights = mix.get(table, {})
        rules = next((r for r in space.rules if r.table == table), None)
        rows = {d.id: d for d in decisions if d.kind in _PICKED and d.count is None}
        taken = _subsets(space, rules, decisions, weights) if rules is not None else {}
        if rules is not None:
            for node, identities in rules.rows:
                here = [rows.pop(i) for i in identities if i in rows]
                made = _node(here, node, rules, weights, edge_weights)
                chosen = taken.get(node)
                if chosen is not None:
                    # An edge that is not picked has no operation.
                    made = [p for p in made if p[0].partition("<-")[2] in chosen]
                for pick in made:
                    picks.append(pick)
                    picks.extend(_below(next(d for d in here if d.id == pick[0]), pick[1], every))
        for decision in rows.values():
            label, _ = _best(decision, weights.get(decision.id), ())
            picks.append((decision.id, label))
            picks.extend(_below(decision, label, every))
        for node, sources in taken.items():
            picks.extend((subset_identity(table, node), source) for source in sources)
    picks = list(dict.fromkeys(picks))
    return Genotype(space=space.name, picks=tuple(picks))


def _betas(space: Space, every: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The weights of edges by the decision of the edge."""
    return {
        d.id.removesuffix("+") + source: weight
        for d in space.decisions
        if d.kind == "beta"
        for source, weight in zip(d.labels, every.get(d.id, ()), strict=False)
    }


#: Kinds of decisions that one option is picked of.
_PICKED = ("op", "value", "depth")


def _below(
    decision: Decision, label: str, every: Mapping[str, Sequence[float]]
) -> list[tuple[str, str]]:
    """Picks of the decisions that exist where an option is taken, and of those below them."""
    picks: list[tuple[str, str]] = []
    for inner in decision.nested[decision.labels.index(label)] if decision.nested else ():
        if inner.kind not in _PICKED or inner.count is not None:
            continue
        chosen, _ = _best(inner, every.get(inner.id), ())
        picks.append((inner.id, chosen))
        picks.extend(_below(inner, chosen, every))
    return picks


def _node(
    here: list[Decision],
    node: str,
    rules: TableRules,
    weights: Mapping[str, Sequence[float]],
    factors: Mapping[str, float],
) -> list[tuple[str, str]]:
    keep = next((k for k in rules.keeps if node in k.targets), None)
    exclude = keep.exclude if keep else ()
    ranked = []
    for position, decision in enumerate(here):
        label, strength = _best(decision, weights.get(decision.id), exclude)
        ranked.append((-strength * factors.get(decision.id, 1.0), position, decision.id, label))
    if keep is not None and keep.count is not None:
        # Stronger edges first; the genotype formats of the field list them so.
        ranked = sorted(ranked)[: keep.count]
    return [(identity, label) for _, _, identity, label in ranked]


def _best(
    decision: Decision, weights: Sequence[float] | None, exclude: tuple[str, ...]
) -> tuple[str, float]:
    if weights is None:
        raise DiscretizeError(f"no weights for `{decision.id}`")
    if len(weights) < len(decision.labels):
        raise DiscretizeError(
            f"`{decision.id}` has {len(decision.labels)} options and {len(weights)} weights"
        )
    best: tuple[str, float] | None = None
    for label, weight in zip(decision.labels, weights, strict=False):
        if math.isnan(weight):
            raise DiscretizeError(f"the weight of `{label}` at `{decision.id}` is NaN")
        if label not in exclude and (best is None or weight > best[1]):
            best = (label, weight)
    if best is None:
        raise DiscretizeError(f"every option of `{decision.id}` is excluded")
    return best


# ---- picked edges

#: Rounding of float32 must not decide whether a row without preference keeps its edges, nor
#: which of them is weakest.
_ROUNDING = 1e-6


def _subsets(
    space: Space,
    rules: TableRules,
    decisions: Sequence[Decision],
    weights: Mapping[str, Sequence[float]],
) -> dict[str, tuple[str, ...]]:
    """The picked sources of every node that picks, in the order of the edges."""
    strength: dict[tuple[str, str], float] = {}
    taken: dict[str, set[str]] = {}
    free: dict[str, Decision] = {}
    rows = {d.id: d for d in decisions if d.kind == "subset"}
    for pick in rules.picks:
        for node in pick.targets:
            decision = rows[subset_identity(rules.table, node)]
            found = _weights(decision, weights.get(decision.id))
            edges = len(decision.labels)
            ranked = sorted(range(edges), key=lambda i: (-found[i], i))
            if pick.count is None:
                free[node] = decision
                ranked = [i for i in ranked if found[i] * edges >= 1 - _ROUNDING]
            else:
                ranked = ranked[: pick.count]
            taken[node] = {decision.labels[i] for i in ranked}
            strength.update(
                ((source, node), round(w * edges, 6))
                for source, w in zip(decision.labels, found, strict=True)
            )
    if free:
        graph = _Graph.of(space, rules, taken)
        if not graph.live():
            for node, decision in free.items():
                best = max(decision.labels, key=lambda s: strength[s, node])
                taken[node] = taken[node] or {best}
        _drop(graph, set(free), strength, _most_edges(space, rules.table))
    order = [*(node for node, _ in rules.rows), *taken]
    return {
        node: tuple(s for s in rows[subset_identity(rules.table, node)].labels if s in taken[node])
        for node in dict.fromkeys(order)
        if node in taken
    }


def _weights(decision: Decision, weights: Sequence[float] | None) -> list[float]:
    if weights is None:
        raise DiscretizeError(f"no weights for `{decision.id}`")
    if len(weights) < len(decision.labels):
        raise DiscretizeError(
            f"`{decision.id}` has {len(decision.labels)} edges and {len(weights)} weights"
        )
    found = list(weights[: len(decision.labels)])
    for source, weight in zip(decision.labels, found, strict=True):
        if math.isnan(weight):
            raise DiscretizeError(f"the weight of `{source}` at `{decision.id}` is NaN")
    return found


def _most_edges(space: Space, table: str) -> int | None:
    """The number of edges that `require` allows a cell; None without such a limit."""
    found: list[int] = []

    def look(test: Test) -> None:
        match test:
            case Relation(op="and"):
                look(test.left)
                look(test.right)
            case Relation(op="<=" | "<", left=Measure(name="edges"), right=Amount(value=limit)):
                found.append(math.ceil(limit) - 1 if test.op == "<" else math.floor(limit))

    for requirement in space.requires:
        if requirement.table == table:
            look(requirement.test)
    return min(found, default=None)


@dataclass(frozen=True, slots=True)
class _Graph:
    """The edges of a cell, of which `taken` says what is there, by target."""

    table: str
    edges: tuple[tuple[str, str], ...]
    taken: dict[str, set[str]]
    #: Nodes that the output reads without an edge of their own.
    read: frozenset[str]

    @staticmethod
    def of(space: Space, rules: TableRules, taken: dict[str, set[str]]) -> _Graph:
        edges = tuple(
            (identity.partition("<-")[2], node) for node, found in rules.rows for identity in found
        )
        bound = {source for source, target in edges if target == "out"}
        cell = next((c for _, _, c in space.supernet.cells() if c.table == rules.table), None)
        read = set(arrivals(cell.output)) if cell is not None else set()
        return _Graph(rules.table, edges, taken, frozenset(read - bound))

    def live(self) -> list[tuple[str, str]]:
        """The edges on paths from an input to the output."""
        here = [(s, t) for s, t in self.edges if t not in self.taken or s in self.taken[t]]
        reached = {s for s, _ in self.edges} - {t for _, t in self.edges}
        for source, target in here:  # by target, so a source is settled before
            if source in reached:
                reached.add(target)
        needed = {"out", *self.read}
        for source, target in reversed(here):
            if target in needed:
                needed.add(source)
        through = reached & needed
        # Without an edge to `out` of its own the output is reached where a node it reads is.
        ends = through | ({"out"} if reached & self.read else set())
        if "out" not in ends:
            return []
        return [(s, t) for s, t in here if s in through and t in ends]


def _drop(
    graph: _Graph, free: set[str], strength: Mapping[tuple[str, str], float], most: int | None
) -> None:
    """Drop the weakest edges until a cell has no more than it may; ties: later ones first.

    Raises DiscretizeError where the path that is left is longer than that.
    """
    while most is not None and len(live := graph.live()) > most:
        ranked = sorted(
            (edge for edge in reversed(live) if edge[1] in free), key=lambda e: strength[e]
        )
        for source, target in ranked:
            graph.taken[target].remove(source)
            if graph.live():
                break
            graph.taken[target].add(source)
        else:
            raise DiscretizeError(
                f"the weights leave no path to the output of `{graph.table}` with at most {most} "
                f"edge{'s' * (most != 1)} (`require`)"
            )


def entropy(weights: Sequence[float]) -> float:
    """Entropy in nats of the weights, normalised to sum 1."""
    total = sum(weights)
    if total <= 0:
        return 0.0
    shares = (w / total for w in weights if w > 0)
    return -sum(p * math.log(p) for p in shares if p > 0)  # a share can round to nothing


def count(genotype: Genotype, label: str, table: str | None = None) -> int:
    """How often a label is picked, in one table or in all: of the derived cell, not the supernet."""
    return sum(
        1
        for identity, found in genotype.picks
        if found == label and (table is None or identity.split("/")[0] == table)
    )
