"""The bounds of the catalogue hold for random architectures, and are reached where that is known."""

import importlib.util
import random
from pathlib import Path

import pytest

from nasdsl import driver
from nasdsl.ir import cost
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.sampling import sample

TOOL = Path(__file__).parents[2] / "tools" / "space_bounds.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("space_bounds", TOOL)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def within(tool, file, name, seeds):
    program = driver.load(file).program
    space = program.space(name)
    found = tool.bounds(program, space)
    for seed in seeds:
        genotype = sample(space, random.Random(seed))
        network = program.space(name, genotype=genotype).target
        for measure, limits in found.items():
            if limits is not None:
                low, high = limits
                assert low <= getattr(cost.of_network(network), measure) <= high
    return found


EVERY = [(file, name) for name, file in sorted(driver.index("space").items())]


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name"), EVERY, ids=[name for _, name in EVERY])
def test_random_architectures_lie_within_the_bounds(tool, file, name):
    within(tool, file, name, range(10))


@pytest.mark.parametrize("name", ["mobile_small", "vit_mini", "tabular", "conv1d", "hierarchical"])
def test_bounds_where_more_than_operations_is_decided(tool, name):
    within(tool, driver.index("space")[name], name, range(10))


def test_bounds_that_are_known_otherwise(tool):
    """Those of NAS-Bench-201 and NATS-Bench's sizes, which the benchmarks record."""
    found = within(tool, "nasbench201.nas", "nasbench201", range(3))
    assert found["params"] == (73_306, 1_531_546)
    found = within(tool, "nasbench201.nas", "nats_size", range(3))
    # 90 classes more than the records of CIFAR-10, which are 11 714 and 713 674.
    assert found["params"] == (11_714 + 90 * 9, 713_674 + 90 * 65)
    assert within(tool, "mobile.nas", "nasbench_macro", range(3))["params"][0] == 387_882
    assert within(tool, "nasbench101.nas", "nasbench101", range(1)) == {
        "params": None,
        "macs": None,
    }


def test_every_single_architecture_of_a_small_space(tool):
    program = driver.load("small.nas").program
    space = program.space("one_edge")
    costs = []
    for label in space.decisions[0].labels:
        genotype = Genotype(space="one_edge", picks=((space.decisions[0].id, label),))
        costs.append(cost.of_network(program.space("one_edge", genotype=genotype).target))
    found = tool.bounds(program, space)
    assert found["params"] == (min(c.params for c in costs), max(c.params for c in costs))
    assert found["macs"] == (min(c.macs for c in costs), max(c.macs for c in costs))
