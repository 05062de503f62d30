"""From mixing weights to a discrete architecture, by the rules of the space.

The strength of an edge is the largest weight among the options that may be chosen; a node keeps
its strongest edges. Ties: lower source first, then earlier option. Weights are those of the mix
(after softmax or sigmoid), never raw parameters, which are not comparable between edges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nasdsl.ir.genotype import Genotype
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
    PC-DARTS does. Raises DiscretizeError.
    """
    picks: list[tuple[str, str]] = []
    every = {d: row for rows in mix.values() for d, row in rows.items()}
    for table, decisions in space.tables().items():
        weights = mix.get(table, {})
        rules = next((r for r in space.rules if r.table == table), None)
        rows = {d.id: d for d in decisions if d.kind in _PICKED and d.count is None}
        if rules is not None:
            for node, identities in rules.rows:
                here = [rows.pop(i) for i in identities if i in rows]
                for pick in _node(here, node, rules, weights, edge_weights or {}):
                    picks.append(pick)
                    picks.extend(_below(next(d for d in here if d.id == pick[0]), pick[1], every))
        for decision in rows.values():
            label, _ = _best(decision, weights.get(decision.id), ())
            picks.append((decision.id, label))
            picks.extend(_below(decision, label, every))
    picks = list(dict.fromkeys(picks))
    return Genotype(space=space.name, picks=tuple(picks))


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


def entropy(weights: Sequence[float]) -> float:
    """Entropy in nats of the weights, normalised to sum 1."""
    total = sum(weights)
    if total <= 0:
        return 0.0
    return -sum(w / total * math.log(w / total) for w in weights if w > 0)


def count(genotype: Genotype, label: str, table: str | None = None) -> int:
    """How often a label is picked, in one table or in all: of the derived cell, not the supernet."""
    return sum(
        1
        for identity, found in genotype.picks
        if found == label and (table is None or identity.split("/")[0] == table)
    )
