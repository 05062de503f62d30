"""What a task held is gone before the next one begins, without waiting for Python's collector."""

import gc
import weakref

import pytest
from small_runs import TEXT, inputs, plan, run, search

from nasdsl.codegen.supernet import Supernet
from nasdsl.suite.cell import Cell, Task
from nasdsl.suite.executors.inline import Inline
from nasdsl.training import run as runs

PHASED = """
recipe phased extends soft {
  phase first {
    epochs = 1
  }
  phase second extends first {
    weights.lr = 0.01
  }
}
"""


@pytest.fixture
def supernets(monkeypatch):
    """All supernets that are alive, while nothing is collected but on request."""
    alive = weakref.WeakSet()
    build = Supernet.__init__

    def built(self, *args, **options):
        build(self, *args, **options)
        alive.add(self)

    monkeypatch.setattr(Supernet, "__init__", built)
    gc.collect()
    gc.disable()
    yield alive
    gc.enable()


def test_retraining_begins_without_the_supernet(supernets, monkeypatch):
    seen = []
    retrain = runs.retrain

    def watched(*args):
        seen.append(len(supernets))
        return retrain(*args)

    monkeypatch.setattr(runs, "retrain", watched)
    runs.execute(plan(), inputs(), None, runs.Options())
    assert seen == [0]


def test_a_phase_begins_without_the_supernet_of_the_one_before(supernets):
    task = search(plan("phased", text=TEXT + PHASED), profile="balanced")
    run(task, 1)
    assert len(supernets) == 1
    task.begin(1)
    assert len(supernets) == 1


def test_a_cell_of_a_suite_leaves_nothing(supernets):
    def perform(task):
        search(plan())
        return {}

    doer = Inline(perform)
    cell = Cell(digest="0" * 16, kind="search", names={}, order={})
    doer.start(Task(cell=cell, attempt=1, before={}))
    assert len(doer.ended()) == 1 and not supernets
