"""NSGA-II: evolution towards the front of several objectives (Deb et al. 2002)."""

from __future__ import annotations

import random
from collections.abc import Sequence

from nasdsl.ir.genotype import Genotype
from nasdsl.ir.mutation import NoNeighbour, mutate
from nasdsl.oneshot.blackbox.inherit import inherit
from nasdsl.oneshot.blackbox.pool import PATIENCE, BudgetSpent, Judged, Pool, Worth


def dominates(a: Worth, b: Worth) -> bool:
    """Whether a is nowhere worse than b, and better somewhere."""
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


def fronts(worths: Sequence[Worth]) -> list[list[int]]:
    """Indices by front: those that none dominates first, and so on (section III.A)."""
    above = [sum(dominates(b, a) for b in worths) for a in worths]
    found: list[list[int]] = []
    rest = set(range(len(worths)))
    while rest:
        front = sorted(i for i in rest if above[i] == 0)
        found.append(front)
        rest -= set(front)
        for i in rest:
            above[i] -= sum(dominates(worths[j], worths[i]) for j in front)
    return found


def crowding(worths: Sequence[Worth]) -> list[float]:
    """The crowding distance of every point of a front (section III.B); ends are infinitely far."""
    found = [0.0] * len(worths)
    for axis in zip(*worths, strict=True):
        order = sorted(range(len(axis)), key=lambda i: (axis[i], i))
        found[order[0]] = found[order[-1]] = float("inf")
        span = axis[order[-1]] - axis[order[0]]
        for before, at, after in zip(order, order[1:], order[2:], strict=False):
            if span > 0:
                found[at] += (axis[after] - axis[before]) / span
    return found


def nsga2(
    pool: Pool, rng: random.Random, *, population: int, rounds: int, rate: float
) -> list[Judged]:
    """The front of the last population, best first objective first.

    Every round makes as many children as there are members: two winners of binary tournaments
    (front, then distance) are crossed, and with probability `rate` the child takes one step more;
    the best of members and children stay. Architectures are evaluated once in their life.
    Raises NothingFound.
    """
    members: list[Judged] = []
    try:
        for genotype in pool.fresh(rng):
            if len(members) == population:
                break
            members.append(pool.judge(genotype))
        for _ in range(rounds):
            order = _order(members)
            children: list[Judged] = []
            failed = 0
            while len(children) < population and failed < PATIENCE:
                child = _child(pool, rng, members, order, rate)
                if child is None or pool.known(child) or not pool.legal(child):
                    failed += 1
                    continue
                children.append(pool.judge(child))
            both = [*members, *children]
            ranked = sorted(range(len(both)), key=_order(both).__getitem__)
            members = [both[i] for i in ranked[:population]]
    except BudgetSpent:
        members = list(pool.judged.values())
    pool.best()  # says so where nothing was found
    front = [members[i] for i in fronts([m.worth for m in members])[0]]
    return sorted(front, key=lambda m: m.worth, reverse=True)


def _order(members: Sequence[Judged]) -> list[tuple[int, float, int]]:
    """What members are sorted by: front, distance (far first), place."""
    found: dict[int, tuple[int, float, int]] = {}
    worths = [m.worth for m in members]
    for level, front in enumerate(fronts(worths)):
        distances = crowding([worths[i] for i in front])
        for i, distance in zip(front, distances, strict=True):
            found[i] = (level, -distance, i)
    return [found[i] for i in range(len(members))]


def _child(
    pool: Pool,
    rng: random.Random,
    members: Sequence[Judged],
    order: Sequence[tuple[int, float, int]],
    rate: float,
) -> Genotype | None:
    def winner() -> Genotype:
        a, b = rng.randrange(len(members)), rng.randrange(len(members))
        return members[min(a, b, key=order.__getitem__)].genotype

    child = inherit(pool.limits.space, [winner(), winner()], rng)
    if rng.random() < rate:
        try:
            return mutate(pool.limits.space, child, rng)
        except NoNeighbour:
            return None
    return child
