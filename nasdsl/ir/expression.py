"""A cost as an expression over the choices: a sum of amounts times products of indicators.

The indicator of an option is 1 where an architecture takes it. So an expression has the exact
cost of every architecture, and as it is linear in each indicator, its mean where options are drawn
independently is the same expression with probabilities in place of indicators.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from nasdsl.ir.genotype import Genotype


class CostError(ValueError):
    """A cost that cannot be told: the expression does not speak of this architecture."""


@dataclass(frozen=True, slots=True, order=True)
class Factor:
    """How often a decision takes one of `labels`; without labels 1 if it takes anything at all.

    An architecture takes a label twice where it puts two operations on one edge, and none where
    an edge does not stay. A `negated` factor is 1 where none of the labels is taken, else 0.
    """

    decision: str
    labels: tuple[str, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Term:
    """An amount that counts where all its factors hold; factors are sorted and differ."""

    amount: int
    factors: tuple[Factor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """A cell whose edges are picked: which nodes are left follows from the picks.

    `picked` are the targets whose edges are decided, `read` the nodes that the output joins.
    """

    table: str
    inputs: tuple[str, ...]
    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    picked: tuple[str, ...]
    read: tuple[str, ...]

    def left(self, picked: Mapping[str, Sequence[str]]) -> frozenset[str]:
        """The inputs and nodes on a path to the output; `picked` are sources by target."""
        kept = [(s, t) for s, t in self.edges if t not in self.picked or s in picked.get(t, ())]
        reached = set(self.inputs)
        for node in self.nodes:
            if any(t == node and s in reached for s, t in kept):
                reached.add(node)
        bound = {s for s, t in self.edges if t == "out"}
        arriving = {s for s, t in kept if t == "out"}
        needed = {n for n in self.read if n not in bound or n in arriving}
        for node in reversed(self.nodes):
            if node in needed and node in reached:
                needed.update(s for s, t in kept if t == node)
        return frozenset(needed & reached)


def lives(table: str, node: str) -> Factor:
    """The factor that a node of a cell with picked edges is on a path to the output."""
    return Factor(f"{table}/{node}<-any")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A measure of a network over the choices of its space.

    `labels` are the options that the expression knows, by decision; `stay` is the share of its
    node's edges that stay, by decision of an edge under a `keep N` rule; `wirings` are the cells
    whose edges are picked.
    """

    measure: str
    terms: tuple[Term, ...]
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    stay: tuple[tuple[str, Fraction], ...] = ()
    wirings: tuple[Wiring, ...] = ()

    @property
    def decisions(self) -> tuple[str, ...]:
        """Decisions on which the cost depends, in the order of `labels`."""
        found = {f.decision for t in self.terms for f in t.factors}
        return tuple(d for d, _ in self.labels if d in found)


def times(*groups: tuple[Factor, ...]) -> tuple[Factor, ...] | None:
    """The product of factors, sorted; None where it is always zero."""
    found: dict[tuple[str, bool, tuple[str, ...]], tuple[str, ...]] = {}
    for factor in (f for group in groups for f in group):
        # A subset may take labels of both factors, any other decision takes one label.
        several = factor.labels if factor.decision.endswith("<-*") else ()
        key = (factor.decision, factor.negated, several)
        before = found.get(key)
        if before is None:
            found[key] = factor.labels
        elif factor.negated:
            both = (*before, *factor.labels) if before and factor.labels else ()
            found[key] = tuple(dict.fromkeys(both))
        elif before and factor.labels:
            found[key] = tuple(label for label in before if label in factor.labels)
            if not found[key]:
                return None
        else:
            # A label is taken only where something is.
            found[key] = before or factor.labels
    return tuple(sorted(Factor(d, labels, negated) for (d, negated, _), labels in found.items()))


def total(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Terms of equal factors added up, zeros left out, in a fixed order."""
    amounts: dict[tuple[Factor, ...], int] = {}
    for term in terms:
        amounts[term.factors] = amounts.get(term.factors, 0) + term.amount
    return tuple(Term(a, f) for f, a in sorted(amounts.items()) if a)


def evaluate(expression: Expression, genotype: Genotype) -> int:
    """The exact cost of an architecture.

    Raises CostError for labels that the space does not list, and where a cell's output joins other
    nodes than the space's: the widths behind it differ.
    """
    if genotype.outputs:
        cell = genotype.outputs[0][0]
        raise CostError(
            f"the output of `{cell}` joins other nodes than the space's; lower the network instead"
        )
    known = dict(expression.labels)
    taken: dict[str, list[str]] = {}
    for decision, label in genotype.picks:
        if decision not in known:
            raise CostError(f"the space has no decision `{decision}`")
        # A domain without options has no labels; no cost depends on it.
        if known[decision] and label not in known[decision]:
            raise CostError(f"`{decision}` has no option `{label}`")
        taken.setdefault(decision, []).append(label)
    for wiring in expression.wirings:
        _wire(wiring, taken)
    result = 0
    for term in expression.terms:
        amount = term.amount
        for factor in term.factors:
            amount *= count(factor, taken.get(factor.decision, ()))
            if not amount:
                break
        result += amount
    return result


def _wire(wiring: Wiring, taken: dict[str, list[str]]) -> None:
    """Note which nodes are left, and drop picked edges that lead nowhere."""
    picked = {t: taken.get(f"{wiring.table}/{t}<-*", []) for t in wiring.picked}
    left = wiring.left(picked)
    for node in wiring.nodes:
        if node in left:
            taken[lives(wiring.table, node).decision] = ["lives"]
    for target, sources in picked.items():
        there = target == "out" or target in left
        kept = [s for s in sources if there and s in left]
        taken[f"{wiring.table}/{target}<-*"] = kept


def count(factor: Factor, taken: Sequence[str]) -> int:
    """A factor where its decision takes these labels."""
    if not factor.labels:
        return int(bool(taken) is not factor.negated)
    times = sum(label in factor.labels for label in taken)
    return int(not times) if factor.negated else times
