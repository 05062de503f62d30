"""Architectures one decision away.

A step changes one thing: the label of a decision, the edge on which a kept operation stands (its
label stays, where the other edge has it), one source of a `pick`, or a number of a domain. What a
new option brings along is settled anew, what an old one brought is gone, and what both have stays:
a network that grows by a round keeps the rounds it has. `distance` calls each such step 1.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from nasdsl.ir.genotype import Genotype
from nasdsl.ir.member import ordered
from nasdsl.ir.sampling import number, settle
from nasdsl.ir.slot import Picks
from nasdsl.ir.space import Decision, Group, Space, below

Pairs = list[tuple[str, str]]


class NoNeighbour(ValueError):
    """Nothing of an architecture can be changed."""


def neighbours(space: Space, genotype: Genotype) -> Iterator[Genotype]:
    """Every architecture one step away, in a fixed order; decisions that are new take the first
    of their options. Numbers of a domain without options are left as they are."""
    first = _First()
    for step in _steps(space, list(genotype.picks), None):
        yield _settled(space, genotype, step, first)


def mutate(space: Space, genotype: Genotype, rng: random.Random) -> Genotype:
    """A random architecture one step away, all steps as likely; new decisions are drawn.

    Raises NoNeighbour.
    """
    steps = list(_steps(space, list(genotype.picks), rng))
    if not steps:
        raise NoNeighbour(f"nothing of this architecture of `{space.name}` can be changed")
    return _settled(space, genotype, rng.choice(steps), rng)


class _First(random.Random):
    """Takes the first of everything."""

    def randrange(self, start: Any, stop: Any = None, step: Any = 1) -> int:
        return 0 if stop is None else int(start)

    def sample(self, population: Sequence[Any], k: int, *, counts: Any = None) -> list[Any]:
        return list(population)[:k]

    def uniform(self, a: float, b: float) -> float:
        return a


def _steps(space: Space, picks: Pairs, rng: random.Random | None) -> Iterator[Pairs]:
    """Picks after each step, before what depends on them is settled."""
    for group in active(space, picks):
        ids = {d.id: d for d in group.decisions}
        here = [i for i, (identity, _) in enumerate(picks) if identity in ids]
        if group.subset is not None:
            yield from _subset_steps(group.subset, group, picks, here)
            continue
        for i in here:
            identity, label = picks[i]
            decision = ids[identity]
            if decision.low is not None and decision.high is not None:
                if rng is not None:
                    text = number(decision.low, decision.high, decision.log, rng)
                    yield _changed(picks, i, (identity, text))
                continue
            for other in group.labels(decision):
                if other != label:
                    yield _changed(picks, i, (identity, other))
        if group.count is None or group.count >= len(group.decisions):
            continue
        taken = {picks[i][0] for i in here}
        for i in here:
            label = picks[i][1]
            for decision in group.decisions:
                labels = group.labels(decision)
                if decision.id not in taken and labels:
                    same = label if label in labels else labels[0]
                    yield _changed(picks, i, (decision.id, same))


def _subset_steps(
    decision: Decision, group: Group, picks: Pairs, here: list[int]
) -> Iterator[Pairs]:
    taken = [picks[i][1] for i in here]
    others = [source for source in decision.labels if source not in taken]
    if group.count is not None:
        for i in here:
            yield from (_changed(picks, i, (decision.id, other)) for other in others)
        return
    if len(taken) > group.least:
        yield from (picks[:i] + picks[i + 1 :] for i in here)
    yield from ([*picks, (decision.id, other)] for other in others)


def _changed(picks: Pairs, at: int, pick: tuple[str, str]) -> Pairs:
    return [*picks[:at], pick, *picks[at + 1 :]]


def active(space: Space, picks: Sequence[tuple[str, str]]) -> Iterator[Group]:
    """The groups that exist, given what was picked."""
    todo = list(reversed(space.groups()))
    while todo:
        group = todo.pop()
        yield group
        ids = {d.id: d for d in group.decisions}
        for identity, label in picks:
            if identity in ids and label in ids[identity].labels:
                todo.extend(reversed(below(ids[identity], label, group.rules)))


def _settled(space: Space, genotype: Genotype, picks: Pairs, rng: random.Random) -> Genotype:
    """The picks of decisions that exist, and new ones for those that were not there before."""
    made: Pairs = []
    seen: set[str] = set()
    for group in active(space, picks):
        ids = {d.id for d in group.decisions}
        if ids & seen:
            continue  # conditional on two options that are both taken
        seen |= ids
        here = [pick for pick in picks if pick[0] in ids]
        # A subset may be empty; everything else that has no pick is new.
        if here or (group.subset is not None and group.count is None and not group.least):
            made.extend(here)
            continue
        new: Picks = {}
        settle((group,), rng, new)
        made.extend((identity, label) for identity, labels in new.items() for label in labels)
        seen.update(new)
    # In keep nodes the order of the picks is the genotype's own; it stays.
    place = {pick: i for i, pick in reversed(list(enumerate(picks)))}
    made.sort(key=lambda pick: place.get(pick, len(picks)))
    return ordered(replace(genotype, picks=tuple(made)), space)
