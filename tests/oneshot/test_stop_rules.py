"""Stop rules: what they count, compare and give back."""

from fractions import Fraction

import pytest
import torch
from small_runs import copies
from small_search import small

from nasdsl.ir.config import Component, Time, Word
from nasdsl.oneshot.stop import eigenvalue
from nasdsl.oneshot.stop.count import Count
from nasdsl.oneshot.stop.eigenvalue import Eigenvalue
from nasdsl.oneshot.stop.plateau import Plateau

NOW = Time(Fraction(0), False)


def fed(monkeypatch, rule, values, task):
    """The verdicts of a rule that measures these values, and the alphas of each evaluation."""
    given = iter(values)
    monkeypatch.setattr(eigenvalue, "measure", lambda session: next(given))
    found, held = [], []
    for epoch in range(len(values)):
        with torch.no_grad():
            for alpha in task.session.alphas.values():
                alpha.fill_(float(epoch))
        held.append(copies(task.session.arch.alphas()))
        found.append(rule.after_epoch(task.session, epoch))
    return found, held


def rule(**changes):
    given = {"every": 1, "start": NOW, "window": 2, "delta": 2, "factor": 1.3, "then": None}
    return Eigenvalue(**(given | changes))


def test_means_over_the_window_are_compared_delta_evaluations_apart(monkeypatch):
    """Values 1, 1, 1.2, 1.3, 2: means 1, 1, 1.1, 1.25, 1.65; the last is 1.5 times that of two ago."""
    task = small()
    values = [1.0, 1.0, 1.2, 1.3, 2.0]
    found, held = fed(monkeypatch, rule(), values, task)
    assert [v is not None for v in found] == [False, False, False, False, True]
    verdict = found[-1]
    assert verdict.stop
    # The architecture of the earlier evaluation counts, the third one.
    assert all(torch.equal(a, held[2][n]) for n, a in verdict.alphas.items())


def test_below_the_factor_nothing_happens(monkeypatch):
    found, _ = fed(monkeypatch, rule(), [1.0, 1.0, 1.2, 1.2, 1.4], small())
    assert found == [None] * 5
    found, _ = fed(monkeypatch, rule(delta=1, window=1), [-1.0, 5.0], small())
    assert found == [None, None]  # a ratio to a negative value says nothing


def test_a_larger_decay_takes_the_weights_back(monkeypatch):
    task = small()
    then = Component(
        "raise",
        (("0", Word("weights.decay")), ("by", Fraction(10)), ("up_to", Fraction(1, 500))),
    )
    before = copies(task.session.supernet.state_dict())
    found, held = fed(monkeypatch, rule(window=1, delta=1, then=then), [1.0, 2.0], task)
    verdict = found[1]
    assert not verdict.stop
    assert verdict.changes == (("weights.decay", pytest.approx(0.002)),)  # 3e-4 x 10, at most 2e-3
    assert all(torch.equal(a, held[0][n]) for n, a in verdict.alphas.items())
    with torch.no_grad():
        for weight in task.session.weights.values():
            weight.add_(1.0)
    task._follow(verdict)
    assert all(torch.equal(t, before[n]) for n, t in task.session.supernet.state_dict().items())
    assert task.session.recipe.get("weights").get("decay") == pytest.approx(0.002)
    # At the limit there is nothing left to raise.
    again, _ = fed(monkeypatch, rule(window=1, delta=1, then=then), [1.0, 2.0], task)
    assert again == [None, None]


def test_every_and_start(monkeypatch):
    task = small()
    measured = []
    monkeypatch.setattr(eigenvalue, "measure", lambda s: measured.append(0) or 1.0 * len(measured))
    made = rule(every=3, window=1, delta=1)
    for epoch in range(7):
        made.after_epoch(task.session, epoch)
    assert len(measured) == 2
    late = rule(window=1, delta=1, start=Time(Fraction(1), True))
    assert [late.after_epoch(task.session, e) for e in range(3)] == [None] * 3


def test_the_measured_eigenvalue_leaves_the_search_as_it_is():
    task = small("stop = eigenvalue(every = 1, window = 1, delta = 1)\n  drop_path = 0.5")
    task.begin(0)
    buffers = copies(dict(task.session.supernet.named_buffers()))
    alphas = copies(task.session.alphas)
    value = eigenvalue.measure(task.session)
    assert value == value
    after = dict(task.session.supernet.named_buffers())
    assert all(torch.equal(b, after[n]) for n, b in buffers.items())
    assert all(torch.equal(a, task.session.alphas[n]) for n, a in alphas.items())


def favour(session, labels):
    """Alphas of the normal cell under which row i takes labels[i]."""
    table = session.supernet.tables["normal"]
    alpha = session.arch.alphas()["normal"]
    with torch.no_grad():
        alpha.zero_()
        for row, label in enumerate(labels):
            alpha[row, table.labels[row].index(label)] = 5.0


def test_skips_are_counted_in_the_genotype_not_in_the_supernet():
    """Every edge of the supernet holds a skip candidate; the derived cell holds what won (C08)."""
    session = small().session
    candidates = [label for _, label in session.supernet.options.values()]
    assert candidates.count("skip_connect") > 2
    made = Count("skip_connect", ("normal",), 1, NOW)
    favour(session, ["skip_connect", "sep_conv_3x3"])
    assert made.after_epoch(session, 0) is None
    favour(session, ["skip_connect", "skip_connect"])
    verdict = made.after_epoch(session, 1)
    assert verdict.stop
    assert "2 skip_connect in normal" in verdict.reason


def test_a_plateau_is_an_architecture_that_stays():
    session = small().session
    made = Plateau(2, NOW)
    found = []
    for epoch, label in enumerate(["sep_conv_3x3", "max_pool_3x3", "max_pool_3x3", "max_pool_3x3"]):
        favour(session, [label, label])
        found.append(made.after_epoch(session, epoch))
    assert [v is not None for v in found] == [False, False, False, True]
    other = Plateau(2, NOW)
    other.restore(*made.state())
    assert (other.same, other.last) == (made.same, made.last)
