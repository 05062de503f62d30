"""Regularized evolution: the oldest architecture dies, not the worst (arXiv 1802.01548)."""

from __future__ import annotations

import random
from collections import deque

from nasdsl.ir.mutation import NoNeighbour, mutate
from nasdsl.oneshot.blackbox.pool import PATIENCE, BudgetSpent, Judged, Pool


def regularized_evolution(
    pool: Pool, rng: random.Random, *, population: int, sample: int
) -> Judged:
    """The best architecture when the pool's budget is spent.

    Algorithm 1 of the paper: from `sample` members of the population, drawn without replacement,
    the best one has a child one step away; the child comes in and the oldest member goes. A child
    that was evaluated before costs nothing. Ends early where `PATIENCE` children in a row are
    known. Raises NothingFound.
    """
    if pool.budget is None:
        raise ValueError("regularized evolution needs a budget")
    members: deque[Judged] = deque()
    try:
        for genotype in pool.fresh(rng):
            if len(members) == population:
                break
            members.append(pool.judge(genotype))
        known = 0
        while members and known < PATIENCE:
            drawn = rng.sample(list(members), min(sample, len(members)))
            parent = max(drawn, key=lambda j: j.worth)
            child = mutate(pool.limits.space, parent.genotype, rng)
            known = known + 1 if pool.known(child) or not pool.legal(child) else 0
            if not pool.legal(child):
                continue
            members.append(pool.judge(child))
            if len(members) > population:
                members.popleft()
    except (BudgetSpent, NoNeighbour):
        pass
    return pool.best()
