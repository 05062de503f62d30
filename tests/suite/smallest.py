"""The smallest suite, a search and a retraining, with an executor from its beginning to its end."""

from __future__ import annotations

from nasdsl.suite import executor
from nasdsl.suite.work import Means

LIMITS = executor.Limits(jobs=2, retries=0, seconds=300.0)
MEANS = Means(device="cpu", threads=1)


def run(held, doer, limits=LIMITS):
    """What the store says in the end: digest, state and result of every cell."""
    store = held.open()
    try:
        executor.run(store, doer, limits)
        return [(s.cell.digest, s.state, s.result) for s in store.all()], store.events()
    finally:
        doer.close()
        store.close()
