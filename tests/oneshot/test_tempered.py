"""The temperature that follows the noise of the gradients, against a plain loop."""

import math

import pytest
import torch
from small_runs import equal_states, plan, run, search
from small_search import Plain, farthest, recipe, small, steps
from test_steps import rate
from torch.nn import functional as F

from nasdsl.oneshot.steps.tempered import Tempered

HIGH, LOW, MEMORY = 5.0, 0.1, 0.8
BODY = f"sampler = gumbel(tau = linear(2 -> 1))\n  step = tempered(high = {HIGH}, low = {LOW}, memory = {MEMORY})"


class PlainTempered(Plain):
    """Gumbel mixes, a list of all gradients so far, and the sums of the formula as they stand."""

    def __init__(self, task, **options):
        super().__init__(task, **options)
        self.noise = task.noise
        self.past = []

    def heat(self):
        t = len(self.past)
        if t < 2:
            return 1.0
        b = MEMORY
        share = [(1 - b) * b ** (t - 1 - i) / (1 - b**t) for i in range(t)]
        mean = sum(s * g for s, g in zip(share, self.past, strict=True))
        power = sum(s * g.square().sum() for s, g in zip(share, self.past, strict=True))
        noise = sum(s * s for s in share)  # |m|^2 / v of independent gradients of mean zero
        ratio = (mean.square().sum() / power).item()
        signal = min(1.0, max(0.0, (ratio - noise) / (1 - noise)))
        return HIGH ** (1 - signal) * LOW**signal

    def drawn(self, tau):
        found = {}
        for name, alpha in self.alphas.items():
            u = torch.rand(alpha.shape, generator=self.noise, dtype=torch.float64)
            gumbel = -(-u.log()).log()
            found[name] = ((F.log_softmax(alpha, -1) + gumbel) / tau).softmax(-1)
        return found

    def search(self, count):
        self.heats = []
        for step in range(count):
            self.heats.append(self.heat())
            tau = (2 + (1 - 2) * step / (count - 1)) * self.heats[-1]
            loss = self.loss(self.valid(), self.drawn(tau))
            self.move_arch(torch.autograd.grad(loss, list(self.alphas.values())))
            mix = {n: m.detach() for n, m in self.drawn(tau).items()}
            self.move_weights(step, self.train(), mix)
            self.past.append(
                torch.cat(
                    [
                        (torch.zeros_like(w) if w.grad is None else w.grad).detach().flatten()
                        for w in self.weights.values()
                    ]
                )
            )


def test_a_whole_search_is_the_plain_loop():
    body = f"epochs = 4\n  {BODY}"
    task, other = small(body), small(body)
    steps(task, 8)
    plain = PlainTempered(other, lr=lambda step: rate(step, epochs=4))
    plain.search(8)
    assert plain.heats[:2] == [1.0, 1.0]
    assert len(set(plain.heats[2:])) == 6
    assert farthest(task, other) < 1e-6


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
