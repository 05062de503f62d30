"""Networks that are trained through the compiler: when, the same numbers, and resumed exactly."""

import random

import pytest
import torch
from generated_pairs import needs_compiler
from small_runs import equal_states, plan, retraining, run

from nasdsl.ir import cost
from nasdsl.ir.sampling import sample
from nasdsl.oneshot.precision import PLAIN, Numerics
from nasdsl.oneshot.ranks.world import ALONE, World
from nasdsl.training import fused
from nasdsl.training.fused import WORTH, trains_under

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made():
    return plan(space="bench")


@pytest.fixture(scope="module")
def genotype(made):
    return sample(made.space(), random.Random(1))


def images_worth(network):
    """Images from which a training is long enough."""
    return -(-WORTH // (3 * cost.of_network(network).macs))


def test_short_trainings_are_not_planned(made, genotype):
    network = made.space(genotype).target
    enough = images_worth(network)
    how = {"device": CPU, "numerics": PLAIN, "world": ALONE}
    assert trains_under("balanced", network, enough, **how).name == "balanced"
    assert trains_under("balanced", network, enough - 1, **how).name == "reference"
    assert retraining(made, genotype).net.profile.name == "reference"


@pytest.mark.parametrize(
    ("asked", "changed", "name"),
    [
        ("memory", {}, "memory"),
        ("balanced+bf16", {}, "balanced"),
        ("compiled", {}, "reference"),
        ("balanced", {"numerics": Numerics(precision="bf16")}, "reference"),
        ("balanced", {"world": World(size=2)}, "reference"),
        ("balanced", {"device": torch.device("cuda")}, "reference"),
    ],
)
def test_what_a_training_runs_under(made, genotype, asked, changed, name):
    network = made.space(genotype).target
    how = {"device": CPU, "numerics": PLAIN, "world": ALONE} | changed
    assert trains_under(asked, network, 10**9, **how).name == name


@needs_compiler
def test_steps_are_those_of_the_reference(made, genotype, monkeypatch):
    monkeypatch.setattr(fused, "WORTH", 0)
    plain, fast = (retraining(made, genotype, profile=name) for name in ("reference", "balanced"))
    run(plain, 4), run(fast, 4)
    assert fast.net._plans and not plain.net._plans
    for name, value in plain.net.state_dict().items():
        torch.testing.assert_close(fast.net.state_dict()[name], value, rtol=2e-3, atol=2e-4)
    assert fast.measure("test")[0] == pytest.approx(plain.measure("test")[0], rel=1e-2)


@needs_compiler
def test_a_training_goes_on_to_the_last_bit(made, genotype, monkeypatch):
    monkeypatch.setattr(fused, "WORTH", 0)
    whole, half, other = (retraining(made, genotype, profile="balanced") for _ in range(3))
    run(whole)
    run(half, 3)
    other.restore(*half.state())
    run(other, first=3)
    assert whole.net._plans and equal_states(whole, other)
