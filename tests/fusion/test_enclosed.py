"""Stages that are called as modules compute what they did, under the names they had."""

import pytest
import torch
from small_runs import plan

from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.enclosed import Through
from nasdsl.ir import discretize


@pytest.fixture(autouse=True)
def exact():
    """Two ways to one number differ by rounding, which is nothing in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def results(net, run):
    """What a network gives, its gradients and its statistics."""
    net.zero_grad()
    torch.manual_seed(0)
    y = run(net)
    y.square().sum().backward()
    gradients = {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    return {"y": y.detach(), **gradients, **{n: b.clone() for n, b in net.named_buffers()}}


def twins(make, run):
    """Results of two equal networks, of which one is enclosed; the second of them."""
    plain, made = make(), make()
    stages = made.enclose()
    assert stages
    assert list(plain.state_dict()) == list(made.state_dict())
    seen = []
    for stage in stages:
        stage.register_forward_hook(lambda module, given, got: seen.append(module))
    left, right = results(plain, run), results(made, run)
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(right[name], value, rtol=1e-9, atol=1e-9, msg=name)
    assert seen == stages
    return made


def images():
    return torch.randn((4, 3, 8, 8), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("profile", ["reference", "launch"])
@pytest.mark.parametrize("drop_path", [False, True])
def test_cells_of_a_supernet_are_called(profile, drop_path):
    space = plan().space()

    def run(net):
        keep = (torch.rand((len(net.droppable), 4)) < 0.7).double() if drop_path else None
        return net(images(), net.uniform(), None, keep)

    made = twins(lambda: Supernet(space, drop_path=drop_path, profile=profile), run)
    which = "masked" if drop_path else "graph"
    calls = [n for n in made.planned(which).module.graph.nodes if isinstance(n.target, Through)]
    assert [n.name for n in calls] == ["stage_normal_0", "stage_reduce_1", "stage_reduce_2"]


@pytest.mark.parametrize("profile", ["reference", "launch"])
def test_cells_of_one_path_are_called(profile):
    """What nothing reads, here behind `none`, has no gradient, as without."""
    space = plan().space()

    def run(net):
        picks = {n: [k % 4 for k in range(len(t.labels))] for n, t in net.tables.items()}
        mix = {n: torch.zeros(t.shape) for n, t in net.tables.items()}
        for name, rows in picks.items():
            mix[name][range(len(rows)), rows] = 1
        return net(images(), mix, picks)

    made = twins(lambda: Supernet(space, mode="one_path", profile=profile), run)
    # Another mode calls the leaves, as before.
    assert made.in_mode("dense")(images(), made.uniform()).shape == (4, 4)


def test_cells_of_a_network_are_called_in_training_steps():
    space = plan().space()
    mix = {
        name: {
            d: [1.0, 2.0, 3.0, 4.0][: len(row)]
            for d, row in zip(t.decisions, t.labels, strict=True)
        }
        for name, t in Supernet(space).tables.items()
    }
    network = plan().space(discretize.argmax(space, mix)).target

    def run(net):
        keep = net.drop_path_masks(4, 0.3, torch.Generator().manual_seed(2), images())
        return net.train_step(images(), keep)[0]

    made = twins(lambda: Discrete(network), run)
    assert made(images()).shape == (4, 4)
