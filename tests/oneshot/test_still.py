"""While the architecture moves, nothing is computed or kept for the weights that do not."""

import pytest
from small_search import small

from nasdsl.fusion.counting import kept
from nasdsl.oneshot.steps.first_order import arch_step
from nasdsl.oneshot.still import still


def moving(task):
    return [p.requires_grad for p in task.session.weights.values()]


def seen(task, monkeypatch):
    """Which weights want gradients in the forward pass of the architecture's move."""
    found = []
    session, forward = task.session, type(task.session).forward

    def spied(self, *args):
        found.append(moving(task))
        return forward(self, *args)

    monkeypatch.setattr(type(session), "forward", spied)
    arch_step(session)
    return found


def test_weights_stand_still_and_move_again(monkeypatch):
    task = small()
    task.begin(0)
    frozen = next(iter(task.session.weights.values()))
    frozen.requires_grad_(False)
    before = moving(task)
    (inside,) = seen(task, monkeypatch)
    assert not any(inside)
    assert moving(task) == before
    assert not before[0]
    assert all(before[1:])


def test_a_rule_that_reads_them_gets_their_gradients(monkeypatch):
    task = small("freeze = alignment(every = 1, below = 0.9)")
    task.begin(0)
    (inside,) = seen(task, monkeypatch)
    assert all(inside)


def test_less_is_kept_for_the_backward_pass():
    session = small().session
    x, _ = session.next_train()
    sample = session.sample("arch")
    weights = list(session.weights.values())

    def bytes_kept():
        return kept(lambda: session.forward(x, sample), weights)

    whole = bytes_kept()
    with still(weights):
        assert bytes_kept() < whole


def test_a_failure_inside_lets_them_go():
    task = small()
    with pytest.raises(RuntimeError), still(task.session.weights.values()):
        raise RuntimeError
    assert all(moving(task))
