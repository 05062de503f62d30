"""Successive halving: many architectures get little, the best of them more (arXiv 1502.07943)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from nasdsl.ir.genotype import Genotype
from nasdsl.ir.sampling import NothingFound
from nasdsl.oneshot.blackbox.pool import Judged, Pool, Worth


def halving(
    pool: Pool,
    rng: random.Random,
    *,
    samples: int,
    eta: int,
    budgets: Sequence[int],
    worth: Callable[[Genotype, int], Worth],
) -> Judged:
    """The best of the last rung, by its worth there.

    Rung i gives `budgets[i]` epochs to each of its architectures; the best 1/eta of them, at
    least one, go on. `samples` different architectures begin. Raises NothingFound.
    """
    rung = [g for _, g in zip(range(samples), _distinct(pool, rng), strict=False)]
    if not rung:
        raise NothingFound("no architecture was drawn")
    judged: list[Judged] = []
    for i, budget in enumerate(budgets):
        judged = [Judged(genotype=g, worth=worth(g, budget)) for g in rung]
        judged.sort(key=lambda j: j.worth, reverse=True)
        if i + 1 < len(budgets):
            rung = [j.genotype for j in judged[: max(1, len(judged) // eta)]]
    return judged[0]


def rungs(samples: int, eta: int, budgets: Sequence[int]) -> list[tuple[int, int]]:
    """How many architectures get how many epochs, rung by rung."""
    found = []
    for budget in budgets:
        found.append((samples, budget))
        samples = max(1, samples // eta)
    return found


def _distinct(pool: Pool, rng: random.Random) -> Iterator[Genotype]:
    """Draws that are not the same as an earlier one; ends where the space is exhausted."""
    seen: set[str] = set()
    for genotype in pool.fresh(rng, seen=seen):
        seen.add(pool.identity(genotype))
        yield genotype
