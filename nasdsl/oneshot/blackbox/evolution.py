"""Evolution over a trained supernet (SPOS, arXiv 1904.00420, Algorithm 1)."""

from __future__ import annotations

import random
from collections.abc import Callable

from nasdsl.ir.genotype import Genotype
from nasdsl.oneshot.blackbox.inherit import inherit
from nasdsl.oneshot.blackbox.pool import PATIENCE, BudgetSpent, Judged, Pool


def evolution(
    pool: Pool,
    rng: random.Random,
    *,
    population: int,
    rounds: int,
    parents: int,
    crossover: int,
    mutation: int,
    rate: float,
) -> Judged:
    """The best architecture after `rounds` populations.

    Every round evaluates its population, keeps the `parents` best of all rounds, and makes up to
    `mutation` children by drawing every decision anew with probability `rate`, up to `crossover`
    children of two parents, and random architectures for what is missing. Every architecture is
    evaluated once in its life and meets the requirements. Raises NothingFound.
    """
    space = pool.limits.space
    # By identity, so that a small space is exhausted and not searched for ever.
    found: dict[str, Genotype] = {}
    try:
        for _ in range(rounds):
            # Random ones fill up what crossover and mutation could not.
            if len(found) < population:
                for genotype in pool.fresh(rng, found.keys()):
                    found[pool.identity(genotype)] = genotype
                    if len(found) == population:
                        break
            for genotype in found.values():
                pool.judge(genotype)
            ranked = sorted(pool.judged.values(), key=lambda j: j.worth, reverse=True)
            best = [j.genotype for j in ranked[:parents]]

            def mutant(best: list[Genotype] = best) -> Genotype:
                return inherit(space, [rng.choice(best)], rng, rate=rate)

            def crossed(best: list[Genotype] = best) -> Genotype:
                return inherit(space, [rng.choice(best), rng.choice(best)], rng)

            found = {}
            _breed(pool, mutant, min(mutation, population), found)
            _breed(pool, crossed, min(len(found) + crossover, population), found)
    except BudgetSpent:
        pass
    return pool.best()


def _breed(pool: Pool, make: Callable[[], Genotype], upto: int, into: dict[str, Genotype]) -> None:
    """Add new legal children until there are so many; give up after `PATIENCE` failures."""
    failed = 0
    while len(into) < upto and failed < PATIENCE:
        child = make()
        key = pool.identity(child)
        if key in pool.judged or key in into or not pool.legal(child):
            failed += 1
            continue
        into[key] = child
