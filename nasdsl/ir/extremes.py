"""The cheapest and the dearest architecture of a cost expression.

Decisions are settled one after the other, each for all settings of those it occurs in a product
with (variable elimination, Dechter 1999); edges of a node of which N stay are settled together.
That is exact. Where a product spans too many settings it is settled on its own instead, and
where a term stands on what is not taken, or on a node being left, it is left out or counted in
full: then the amount is a bound, never above the smallest cost and never below the largest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, product
from math import prod

from nasdsl.ir.expression import Expression, Term, count
from nasdsl.ir.space import Group, Space, groups

#: Most settings that are gone through at once.
LIMIT = 300

#: What a decision takes: a label, none where an edge does not stay, several of a subset.
Taken = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extreme:
    """An extreme amount, labels of operations that give it, and whether it is exact or a bound."""

    amount: int
    labels: frozenset[str]
    exact: bool


def extreme(expression: Expression, space: Space, *, largest: bool) -> Extreme:
    """The smallest or largest amount over all architectures of a space, `require` left out."""
    search = _Search(-1 if largest else 1)
    _collect(space.groups(), search)
    by_scope: dict[tuple[str, ...], list[Term]] = {}
    for term in expression.terms:
        kept = search.relaxed(term)
        if kept is not None:
            scope = tuple(sorted({f.decision for f in kept.factors}))
            by_scope.setdefault(scope, []).append(kept)
    search.total = sum(t.amount for t in by_scope.pop((), []))
    search.functions = [_Function(s, _summing(found)) for s, found in by_scope.items()]
    while search.units:
        search.settle(min(search.units.values(), key=lambda u: search.work(u)))
    return Extreme(
        amount=search.total, labels=_labels(space.groups(), search.chosen()), exact=search.exact
    )


@dataclass(slots=True, eq=False)
class _Function:
    """An amount that depends on what some decisions take."""

    scope: tuple[str, ...]
    value: Callable[[Mapping[str, Taken]], int]


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    """Decisions that are settled together: one, or edges of which `stay` stay."""

    decisions: tuple[str, ...]
    stay: int | None = None


def _summing(terms: list[Term]) -> Callable[[Mapping[str, Taken]], int]:
    def value(taken: Mapping[str, Taken]) -> int:
        total = 0
        for term in terms:
            amount = term.amount
            for factor in term.factors:
                amount *= count(factor, taken.get(factor.decision, ()))
            total += amount
        return total

    return value


@dataclass(slots=True)
class _Search:
    """What is left to settle, and what was found."""

    sign: int
    total: int = 0
    exact: bool = True
    functions: list[_Function] = field(default_factory=list)
    domains: dict[str, tuple[Taken, ...]] = field(default_factory=dict)
    units: dict[str, _Unit] = field(default_factory=dict)
    #: How each settled unit answers, first settled first.
    answers: list[Callable[[Mapping[str, Taken]], dict[str, Taken]]] = field(default_factory=list)

    def relaxed(self, term: Term) -> Term | None:
        """A term without factors that no decision settles; None where nothing of it counts."""
        settled = tuple(f for f in term.factors if not f.negated and f.decision in self.domains)
        if settled == term.factors:
            return term
        self.exact = False
        return None if term.amount * self.sign > 0 else Term(term.amount, settled)

    def scope(self, unit: _Unit) -> tuple[list[_Function], tuple[str, ...]]:
        """The functions of a unit, and the other decisions they depend on."""
        own = set(unit.decisions)
        found = [f for f in self.functions if own.intersection(f.scope)]
        return found, tuple(sorted({d for f in found for d in f.scope} - own))

    def work(self, unit: _Unit) -> int:
        """Settings to go through for a unit."""
        around = prod(len(self.domains[d]) for d in self.scope(unit)[1])
        return around * sum(len(self.domains[d]) for d in unit.decisions)

    def settle(self, unit: _Unit) -> None:
        for name in unit.decisions:
            self.units.pop(name, None)
        while True:
            functions, around = self.scope(unit)
            joint = [f for f in functions if len(set(f.scope) & set(unit.decisions)) > 1]
            if not joint and self.work(unit) <= LIMIT:
                break
            self.alone(max(joint or functions, key=lambda f: len(f.scope)))
        self.functions = [f for f in self.functions if f not in functions]
        table = {
            taken: self.best(unit, functions, dict(zip(around, taken, strict=True)))
            for taken in product(*(self.domains[d] for d in around))
        }

        def at(taken: Mapping[str, Taken]) -> tuple[int, dict[str, Taken]]:
            return table[tuple(taken[d] for d in around)]

        self.answers.append(lambda taken: at(taken)[1])
        if around:
            self.functions.append(_Function(around, lambda taken: at(taken)[0]))
        else:
            self.total += table[()][0]

    def best(
        self, unit: _Unit, functions: list[_Function], taken: dict[str, Taken]
    ) -> tuple[int, dict[str, Taken]]:
        """The extreme amount of a unit where the others take what they take, and how."""
        amount, found = 0, {}
        ranked: list[tuple[int, Taken, str]] = []
        for decision in unit.decisions:
            own = [f for f in functions if decision in f.scope]

            def value(setting: Taken, own: list[_Function] = own, name: str = decision) -> int:
                return sum(f.value({**taken, name: setting}) for f in own)

            options = self.domains[decision]
            if unit.stay is not None:
                options = options[1:]  # the first is that the edge does not stay
            setting = min(options, key=lambda s: self.sign * value(s))
            if unit.stay is None:
                amount += value(setting)
                found[decision] = setting
                continue
            found[decision] = ()
            dropped = value(())
            amount += dropped
            ranked.append((self.sign * (value(setting) - dropped), setting, decision))
        for gain, setting, decision in sorted(ranked)[: unit.stay]:
            amount += self.sign * gain
            found[decision] = setting
        return amount, found

    def alone(self, function: _Function) -> None:
        """Settle a function by itself: a bound, as its decisions may take something else."""
        self.exact = False
        self.functions = [f for f in self.functions if f is not function]
        settings = product(*(self.domains[d] for d in function.scope))
        values = (function.value(dict(zip(function.scope, s, strict=True))) for s in settings)
        self.total += min(values, key=lambda v: self.sign * v)

    def chosen(self) -> dict[str, Taken]:
        """What each decision takes."""
        taken: dict[str, Taken] = {}
        for answer in reversed(self.answers):
            taken.update(answer(taken))
        return taken


def _collect(found: tuple[Group, ...], into: _Search) -> None:
    """Domains and units of groups, and of everything conditional on them."""
    for group in found:
        names = tuple(d.id for d in group.decisions if d.id not in into.domains)
        for decision in group.decisions:
            if group.subset is not None:
                into.domains[decision.id] = tuple(_subsets(group))
                continue
            labels = group.labels(decision)
            into.domains[decision.id] = tuple((label,) for label in labels) or ((),)
            for inner in decision.nested:
                _collect(groups(inner, group.rules), into)
        stay = group.count if group.subset is None else None
        if stay is not None and stay < len(group.decisions):
            unit = _Unit(names, stay)
            into.units.update((name, unit) for name in names)
            into.domains.update((name, ((), *into.domains[name])) for name in names)
        else:
            into.units.update((name, _Unit((name,))) for name in names)


def _subsets(group: Group) -> Iterator[Taken]:
    labels = group.decisions[0].labels
    sizes = range(group.least, len(labels) + 1) if group.count is None else (group.count,)
    for size in sizes:
        yield from combinations(labels, size)


def _labels(standing: tuple[Group, ...], taken: Mapping[str, Taken]) -> frozenset[str]:
    """Labels that an architecture takes, those of conditional decisions where they exist."""
    found: set[str] = set()
    for group in standing:
        for decision in group.decisions:
            for label in taken.get(decision.id, ()):
                found.update((label,) if decision.kind == "op" else ())
                if decision.nested and label in decision.labels:
                    inner = decision.nested[decision.labels.index(label)]
                    found |= _labels(groups(inner, group.rules), taken)
    return frozenset(found)
