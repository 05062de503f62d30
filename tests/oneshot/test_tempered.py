"""The temperature that follows the noise of the gradients."""

import math

import pytest
import torch
from small_runs import equal_states, plan, run, search
from small_search import recipe

from nasdsl.oneshot.steps.tempered import Tempered
from nasdsl.training.coupling.rules import RULES
from nasdsl.training.coupling.temperature import HIGH, LOW

BODY = next(r.body.partition("\n")[2].strip() for r in RULES if r.name == "tempered")


class Clocked:
    """A session that only tells the time."""

    @staticmethod
    def now(value, slot):
        return float(value)


def fed(gradients, memory=0.9):
    rule = Tempered(HIGH, LOW, memory)
    for gradient in gradients:
        rule._follow({"w": gradient})
    return rule


def test_constant_gradients_are_all_signal_and_cool():
    rule = fed([torch.ones(7, dtype=torch.float64)] * 5)
    assert rule.signal().item() == pytest.approx(1, abs=1e-12)
    assert rule.heat(Clocked).item() == pytest.approx(LOW)


def test_independent_gradients_are_no_signal_on_average_and_stay_warm():
    """The estimate is unbiased before it is cut: many dimensions, so the ratio is its mean."""
    generator = torch.Generator().manual_seed(0)
    for count in (2, 10, 60):
        draws = torch.randn(count, 200_000, generator=generator, dtype=torch.float64)
        rule = fed(list(draws))
        assert rule.signal().item() < 0.01
        assert rule.heat(Clocked).item() == pytest.approx(HIGH, rel=0.05)


def test_half_signal_is_told():
    """A constant part as long as the noise: the share of signal is a half."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(40, 200_000, generator=generator, dtype=torch.float64) + 1
    rule = fed(list(draws))
    assert rule.signal().item() == pytest.approx(0.5, abs=0.01)
    assert rule.heat(Clocked).item() == pytest.approx(math.sqrt(HIGH * LOW), rel=0.05)


def test_nothing_is_known_before_the_second_gradient():
    assert fed([]).heat(Clocked) is None
    assert fed([torch.ones(3)]).heat(Clocked) is None
    assert fed([torch.zeros(3)] * 3).heat(Clocked).item() == pytest.approx(HIGH)


def test_the_running_means_resume():
    made = plan("mine", text=recipe(BODY))
    whole, first = search(made), search(made)
    run(whole)
    run(first, 3)
    rest = search(made)
    rest.restore(*first.state())
    run(rest, first=3)
    assert whole.session.parts.step.count == 4
    assert equal_states(whole, rest)
