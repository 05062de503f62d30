"""Children of architectures: decisions taken from parents, some of them drawn anew."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from nasdsl.ir.genotype import Genotype
from nasdsl.ir.member import ordered
from nasdsl.ir.mutation import active
from nasdsl.ir.sampling import settle
from nasdsl.ir.space import Group, Space


def inherit(
    space: Space, parents: Sequence[Genotype], rng: random.Random, *, rate: float = 0.0
) -> Genotype:
    """A child: every decision, or the kept edges of a node together, from a random parent.

    With probability `rate` a decision is drawn anew instead. With one parent this is the mutation
    and with two and no rate the crossover of SPOS (arXiv 1904.00420, section 3.3), for spaces
    whose decisions depend on each other.
    """
    picks: list[tuple[str, str]] = []
    settled: set[str] = set()
    while True:
        group = next((g for g in active(space, picks) if not _ids(g) & settled), None)
        if group is None:
            return ordered(replace(parents[0], picks=tuple(picks)), space)
        ids = _ids(group)
        settled |= ids
        parent = parents[rng.randrange(len(parents))] if len(parents) > 1 else parents[0]
        here = [p for p in parent.picks if p[0] in ids]
        others = (p for other in parents for p in other.picks if p[0] in ids)
        if not here and group.subset is None and next(others, None) is not None:
            # The drawn parent has not got this decision, another one has.
            having = next(o for o in parents if any(p[0] in ids for p in o.picks))
            here = [p for p in having.picks if p[0] in ids]
        empty = group.subset is not None and group.count is None and not group.least
        if rng.random() < rate or not (here or empty):
            made: dict[str, tuple[str, ...]] = {}
            settle((group,), rng, made)
            here = [(i, label) for i, labels in made.items() if i in ids for label in labels]
        picks.extend(here)


def _ids(group: Group) -> set[str]:
    return {d.id for d in group.decisions}
