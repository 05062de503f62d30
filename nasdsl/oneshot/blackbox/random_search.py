"""Random search: the best of so many architectures drawn at random."""

from __future__ import annotations

import random

from nasdsl.oneshot.blackbox.pool import BudgetSpent, Judged, Pool


def random_search(pool: Pool, rng: random.Random, samples: int, *, distinct: bool = True) -> Judged:
    """The best of `samples` draws; `distinct` draws again what was already drawn.

    Over a trained supernet this is random search with weight sharing (arXiv 1902.07638).
    Raises NothingFound.
    """
    try:
        if distinct:
            for _, genotype in zip(range(samples), pool.fresh(rng), strict=False):
                pool.judge(genotype)
        else:
            for _ in range(samples):
                pool.judge(pool.draw(rng))
    except BudgetSpent:
        pass
    return pool.best()
