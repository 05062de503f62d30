"""How many operators and waits for the device a whole step takes: numbers that do not change."""

import pytest
import torch
from small_networks import SPACES, loaded

from nasdsl import driver
from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.counting import count
from nasdsl.ir.shape import Shape
from nasdsl.lowering.value.kinds import Given
from nasdsl.oneshot.samplers.gumbel import Gumbel
from nasdsl.oneshot.samplers.reinmax import ReinMax


def full(name):
    """A space as it is published, on images so small that its counts cost little."""
    assert SPACES[name]
    data = Given("data", Shape("image", (3, 16, 16)), 10)
    return driver.space(loaded(name), name, {"data": data})


def counted(name, profile, sampler=None, mode="dense"):
    """What a step does once gradients are there: both passes, and their accumulation."""
    net = Supernet(full(name), profile=profile, mode=mode).train()
    x = torch.randn(2, 3, 16, 16)
    alphas = {n: torch.zeros(t.shape, requires_grad=True) for n, t in net.tables.items()}
    noise = torch.Generator()

    def step():
        if sampler is None:
            mix, pick = {n: torch.softmax(a, -1) for n, a in alphas.items()}, None
        else:
            noise.manual_seed(0)
            sample = sampler.sample(alphas, net.tables, noise, float)
            mix, pick = sample.mix, sample.pick
        net(x, mix, pick).square().mean().backward()

    step()
    return count(step)


@pytest.mark.parametrize(("name", "most"), [("darts", 3400), ("nasbench201", 1620)])
def test_operators_of_the_launch_profile(name, most):
    assert counted(name, "launch").total <= most


@pytest.mark.parametrize("sampler", [Gumbel(10.0, hard=True), ReinMax(1.0)])
def test_a_one_hot_step_waits_once(sampler):
    found = counted("darts", "balanced", sampler, "one_path")
    assert found.syncs == 1
    assert found.total <= 1800
    assert counted("darts", "reference", sampler, "one_path").syncs == 1
