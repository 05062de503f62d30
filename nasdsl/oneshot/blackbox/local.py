"""Local search: to a better neighbour until there is none, then from somewhere else."""

from __future__ import annotations

import random

from nasdsl.ir.mutation import neighbours
from nasdsl.oneshot.blackbox.pool import BudgetSpent, Judged, Pool


def local_search(pool: Pool, rng: random.Random) -> Judged:
    """The best architecture when the pool's budget is spent, or every start was tried.

    Neighbours are one step away and come in random order; the first better one is taken, as in
    "query until lower" of arXiv 2005.02960. At a local optimum the search begins again at a new
    random architecture. Raises NothingFound.
    """
    if pool.budget is None:
        raise ValueError("local search needs a budget")
    try:
        for start in pool.fresh(rng):
            _climb(pool, rng, pool.judge(start))
    except BudgetSpent:
        pass
    return pool.best()


def _climb(pool: Pool, rng: random.Random, here: Judged) -> Judged:
    while True:
        around = list(neighbours(pool.limits.space, here.genotype))
        rng.shuffle(around)
        for genotype in around:
            if not pool.legal(genotype):
                continue
            found = pool.judge(genotype)
            if found.worth > here.worth:
                here = found
                break
        else:
            return here
