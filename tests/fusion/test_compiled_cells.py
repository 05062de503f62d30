"""`torch.compile` by cells: equal to the reference, one compilation for cells of one shape."""

import copy

import pytest
import torch
from click.testing import CliRunner
from equality import agree, example, run, twins
from small_networks import small
from spaces_for_tests import bundled_space, images
from torch._dynamo.backends.debugging import aot_eager

from nasdsl.cli.main import cli
from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.compiled_cells import Compiled, CompiledCells, uncompiled
from nasdsl.fusion.profile import Profile, profile


def compiled(backend="aot_eager"):
    return Profile(name="compiled", use="", passes=(CompiledCells(backend=backend),))


def targets(net):
    return [n.target for n in net.planned().module.graph.nodes if isinstance(n.target, Compiled)]


@pytest.fixture(autouse=True)
def nothing_compiled():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["one_edge", pytest.param("nasbench201", marks=pytest.mark.slow)])
def test_equal_to_the_reference(name):
    reference, net = twins(small(name), compiled())
    x, mix, _ = example(reference)
    agree(run(reference, x, mix), run(net, x, mix))
    reference.eval(), net.eval()
    agree(run(reference, x, mix), run(net, x, mix))


def test_cells_of_one_shape_are_compiled_once():
    count = []

    def counting(module, inputs, **more):
        count.append(module)
        return aot_eager(module, inputs, **more)

    space = bundled_space("nasbench201.nas", "nasbench201", C=4, n=3, data=images(size=8))
    net = Supernet(space, profile=compiled(counting))
    found = targets(net)
    assert len(found) > len({id(t) for t in found})
    with torch.no_grad():
        net(torch.randn(2, 3, 8, 8), net.uniform())
    assert len(count) == len({id(t) for t in found})


def test_second_derivatives_go_through_the_operators():
    net = Supernet(small("one_edge"), profile=compiled()).double()
    plain = copy.deepcopy(net).under("reference")
    x, mix, _ = example(net)
    mix = {k: w.requires_grad_() for k, w in mix.items()}
    found = []
    for each in (net, plain):
        with uncompiled():
            loss = each(x, mix).square().mean()
        names = list(mix)
        first = torch.autograd.grad(loss, [mix[n] for n in names], create_graph=True)
        total = sum(g.square().sum() for g in first)
        found.append(torch.autograd.grad(total, [mix[n] for n in names]))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_what_fails_runs_as_it_is():
    def broken(module, inputs, **more):
        raise RuntimeError("no such luck")

    reference, net = twins(small("one_edge"), compiled(broken))
    x, mix, _ = example(reference)
    wanted = run(reference, x, mix, steps=1)
    with pytest.warns(UserWarning, match="operator by operator"):
        found = run(net, x, mix, steps=1)
    agree(wanted, found)


def test_what_is_refused(monkeypatch):
    one_path = Supernet(small("nasbench201"), mode="one_path", profile=compiled())
    (step,) = one_path.planned().steps
    assert not step.changes and "every pick" in step.refusals[0].reason
    monkeypatch.setenv("CXX", "no-such-compiler")
    net = Supernet(small("one_edge"), profile="compiled")
    step = net.planned().steps[0]
    assert not step.changes and "no-such-compiler" in step.refusals[0].reason
    x, mix, _ = example(net)
    assert net.double()(x, mix).isfinite().all()


def test_it_is_asked_for(monkeypatch):
    assert profile("compiled").passes[0].backend == "inductor"
    monkeypatch.setenv("CXX", "no-such-compiler")
    order = ["compile", "nasbench201", "-P", "C=4", "-P", "n=1", "--explain"]
    for how in (["--compile"], ["--profile", "compiled"]):
        done = CliRunner().invoke(cli, [*order, *how])
        assert done.exit_code == 0, done.output
        assert "refused by compiled_cells" in done.output
    assert "compiled_cells" not in CliRunner().invoke(cli, order).output
    assert "--compile" in CliRunner().invoke(cli, ["run", "--help"]).output


@pytest.mark.slow
def test_inductor():
    reference, net = twins(small("one_edge"), "compiled")
    assert targets(net)
    x, mix, _ = example(reference)
    agree(run(reference, x, mix), run(net, x, mix))
