"""Decisions: identities, labels, what choices say of them, and tables."""

from __future__ import annotations

from collections.abc import Iterator

from nasdsl.ir.checks.view import View, every, listed
from nasdsl.ir.op import Choice, Forms, Varied
from nasdsl.ir.space import Decision


def decisions(view: View) -> Iterator[str]:
    """Every decision has one identity, its labels once each, and a group per label if nested.

    A decision may be conditional on several options, as those of a round are on every depth
    that reaches it; then it is the same everywhere.
    """
    known: dict[str, Decision] = {}
    for decision in every(view.space.decisions):
        if known.setdefault(decision.id, decision) != decision:
            yield f"`{decision.id}` is two different decisions"
        for group in decision.nested:
            yield from _unique(group)
        if len(set(decision.labels)) != len(decision.labels):
            yield f"`{decision.id}`: a label stands twice in {listed(decision.labels)}"
        if decision.nested and len(decision.nested) != len(decision.labels):
            yield (
                f"`{decision.id}`: {len(decision.nested)} groups below "
                f"{len(decision.labels)} options"
            )
    yield from _unique(view.space.decisions)


def _unique(group: tuple[Decision, ...]) -> Iterator[str]:
    names = [d.id for d in group]
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        yield f"`{name}` stands twice"


def decided(view: View) -> Iterator[str]:
    """Every choice has its decision, with the same labels."""
    for place, op in view.ops:
        if isinstance(op, Choice):
            decision = view.decisions.get(op.decision)
            if decision is None:
                yield f"{place}: there is no decision `{op.decision}`"
            elif decision.labels != op.labels:
                yield (
                    f"{place}: `{op.decision}` decides between {listed(decision.labels)}, "
                    f"the choice between {listed(op.labels)}"
                )
        elif isinstance(op, Varied | Forms):
            for name, labels in zip(op.decisions, op.labels, strict=False):
                decision = view.decisions.get(name)
                if decision is None or decision.labels != labels:
                    yield f"{place}: there is no decision `{name}` among {listed(labels)}"


def tables(view: View) -> Iterator[str]:
    """Rules belong to a cell's table; their rows are its edges."""
    standing: dict[str, set[str]] = {}
    for _, cell in view.open:
        rows = standing.setdefault(cell.table, set())
        rows.update(f"{cell.table}/{e.key}" for e in cell.edges)
    for rules in view.space.rules:
        known = standing.get(rules.table)
        if known is None:
            yield f"rules of `{rules.table}`, which is no cell's table"
            continue
        for node, identities in rules.rows:
            for identity in identities:
                if identity not in known:
                    yield f"rules of `{rules.table}`: `{node}` has no edge `{identity}`"
