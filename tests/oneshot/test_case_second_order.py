"""The toy problem of the DARTS paper, and second-order steps where some weights stand still."""

import math
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch
from small_search import small

from nasdsl.oneshot.optimizers import gradients
from nasdsl.oneshot.parts import ARCH
from nasdsl.oneshot.precision import PLAIN
from nasdsl.oneshot.steps.second_order import SecondOrder


class Toy:
    """L_val = a w - 2 a + 1, L_train = (w - a)^2: the best a is 1, where w is 1 as well."""

    def __init__(self, a, w, xi):
        self.xi = xi
        self.alphas = {"a": torch.tensor(float(a), dtype=torch.float64, requires_grad=True)}
        self.weights = {"w": torch.tensor(float(w), dtype=torch.float64, requires_grad=True)}
        self.weight_optimizer = SimpleNamespace(state={})
        component = {"lr": xi, "decay": Fraction(0), "momentum": 0.0}
        self.recipe = SimpleNamespace(get=lambda slot: component)
        self.valid_meter = SimpleNamespace(add=lambda *_: None)
        self.slope = None
        self.numerics = PLAIN

    def due(self, role):
        return role == ARCH

    def now(self, value, slot):
        return float(value)

    def next_train(self):
        return "train", (0,)

    def next_valid(self):
        return "valid", (0,)

    def sample(self, role):
        return None

    def forward(self, x, sample, weights=None):
        return x, self.alphas["a"], (weights or self.weights)["w"]

    def loss(self, logits, y):
        x, a, w = logits
        return (w - a).square() if x == "train" else a * w - 2 * a + 1

    def penalized(self, loss, sample):
        return loss

    def gradients(self, loss, wanted, *, keep=False):
        return gradients(loss, wanted, keep=keep)

    def move_arch(self, gradients):
        self.slope = gradients["a"]


@pytest.mark.parametrize("form", ["exact", "finite", "unrolled"])
def test_the_difference_is_divided_by_twice_its_step(form):
    """C28: at a = 2, w = -2, xi = 0.5 the whole gradient is 2; `(p - n) / 2 * e` gives 0.00005."""
    toy = Toy(2, -2, 0.5)
    SecondOrder(form=form).run(toy)
    assert float(toy.slope) == pytest.approx(2.0, abs=1e-9)


@pytest.mark.parametrize("form", ["exact", "finite", "unrolled"])
@pytest.mark.parametrize("a", [-1.0, 0.5, 1.0, 3.0])
def test_the_implicit_term_is_there(form, a):
    """C29: the gradient is 2 a - 2 whatever w is, so that a ends at 1."""
    toy = Toy(a, 0.7, 0.5)
    SecondOrder(form=form).run(toy)
    assert float(toy.slope) == pytest.approx(2 * a - 2, abs=1e-9)
    for _ in range(60):
        with torch.no_grad():
            toy.alphas["a"] -= 0.25 * toy.slope
            toy.weights["w"] -= 0.5 * 2 * (toy.weights["w"] - toy.alphas["a"])
        SecondOrder(form=form).run(toy)
    assert float(toy.alphas["a"]) == pytest.approx(1.0, abs=1e-6)


def test_without_the_look_ahead_the_toy_ends_elsewhere():
    """C29: at xi = 0 the gradient is w - 2, whose fixed point with w = a is 2."""
    toy = Toy(0.5, 0.5, 0.0)
    SecondOrder(form="exact").run(toy)
    assert float(toy.slope) == pytest.approx(0.5 - 2)


@pytest.mark.parametrize("order", ["second", "unrolled"])
def test_frozen_weights_count_as_no_gradient_and_stay(order):
    """C33: a stem that was frozen by hand, in a second-order step."""
    task = small(f"step = alternating(order = {order})")
    session = task.session
    name, stem = next(iter(session.weights.items()))
    stem.requires_grad_(False)
    before = stem.detach().clone()
    alphas = {n: a.detach().clone() for n, a in session.alphas.items()}
    task.begin(0)
    task.step(0, 0)
    assert torch.equal(before, stem)
    assert all(not torch.equal(alphas[n], a) for n, a in session.alphas.items())
    assert all(math.isfinite(float(a.sum())) for a in session.alphas.values())


def test_one_path_leaves_weights_unused_in_a_second_order_step():
    """C33: only the sampled options have a gradient."""
    task = small("sampler = gumbel(tau = 1, hard = true)\n  step = alternating(order = second)")
    task.begin(0)
    task.step(0, 0)
    assert all(torch.isfinite(a).all() for a in task.session.alphas.values())
