"""Batch-norms in convolutions: equal to the network in float64, and left alone where they are not."""

import json

import pytest
import torch
from click.testing import CliRunner
from generated_pairs import mixes
from random_spaces import random_text
from small_networks import SPACES, architectures, network, shaken, small
from spaces_for_tests import space_of

import nasdsl
from nasdsl.cli.main import cli
from nasdsl.codegen import onnx_file, program
from nasdsl.codegen.fold import NotFoldable, fold
from nasdsl.codegen.part import Part
from nasdsl.codegen.program import samples
from nasdsl.codegen.supernet import Supernet
from nasdsl.ops.conv import FactorizedReduce
from nasdsl.ops.plain import Noise

FOUND = {"conv", "linear", "deconv", "dwconv"}


@torch.no_grad()
def apart(a, b):
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-30))


def values(net, *args):
    torch.manual_seed(0)
    with torch.no_grad():
        return net(*args)


def norms_behind_convolutions(graph):
    """Batch-norms that a fold ought to take: the only readers of a convolution, or of such a one."""
    kinds = {n: n.meta["op"].kind for n in graph.graph.nodes if n.op == "call_module"}
    found = []
    for n, kind in kinds.items():
        before = n.args[0]
        behind = kinds.get(before) in FOUND or before in found
        if isinstance(graph.get_submodule(n.target), FactorizedReduce) or (
            kind == "bn" and behind and len(before.users) == 1
        ):
            found.append(n)
    return found


@pytest.mark.parametrize("name", sorted(SPACES))
def test_networks_of_bundled_spaces(name):
    for genotype in architectures(name, 2):
        net = network(name, genotype).double()
        x = samples(net.inp, 3)
        x = x.double() if x.is_floating_point() else x
        before = {k: v.clone() for k, v in net.state_dict().items()}
        made = fold(net)
        assert len(made.folded) == len(norms_behind_convolutions(net.plain))
        assert not norms_behind_convolutions(made.plain)
        assert apart(values(made, x), values(net, x)) <= 1e-10
        assert all(v.equal(net.state_dict()[k]) for k, v in before.items())


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("darts", "reference"),
        ("darts", "balanced"),
        ("darts", "launch"),
        ("nasbench201", "balanced"),
        ("nb1shot1_s1", "memory"),
        ("conv1d", "reference"),
    ],
)
def test_supernets(name, profile):
    net = shaken(Supernet(small(name), profile=profile)).double().eval()
    mix = {k: w.detach() for k, w in mixes(net).items()}
    x = samples(net.space.supernet.inp, 3).double()
    made = fold(net)
    assert made.folded
    assert apart(values(made, x, mix), values(net, x, mix)) <= 1e-10


def test_the_picked_path():
    net = shaken(Supernet(small("nasbench201"), mode="one_path")).double().eval()
    pick = {name: [3] * len(t.decisions) for name, t in net.tables.items()}
    mix = {k: w.detach() for k, w in mixes(net).items()}
    x = samples(net.space.supernet.inp, 3).double()
    made = fold(net)
    assert len(made.folded) > sum(len(t.decisions) for t in net.tables.values())  # in branches
    assert apart(values(made, x, mix, pick), values(net, x, mix, pick)) <= 1e-10


@pytest.mark.parametrize("seed", range(4))
def test_random_supernets(seed):
    net = shaken(Supernet(space_of(random_text(seed), "s"), seed=seed)).double().eval()
    mix = {k: w.detach() for k, w in mixes(net).items()}
    x = samples(net.space.supernet.inp, 3).double()
    assert apart(values(fold(net), x, mix), values(net, x, mix)) <= 1e-10


def test_part_of_a_supernet():
    space, genotype = small("darts"), architectures("darts", 1)[0]
    part = shaken(Part(Supernet(space), genotype)).double().eval()
    x = samples(part.inp, 3).double()
    made = fold(part)
    assert made.folded and apart(values(made, x), values(part, x)) <= 1e-10


def test_what_cannot_be_folded():
    net = network("nasbench201", architectures("nasbench201", 1)[0]).double()
    with pytest.raises(NotFoldable, match="eval"):
        nasdsl.fold(net.train())
    net.eval()
    pairs = norms_behind_convolutions(net.plain)
    batch, read, hook = [n for n in pairs if n.meta["op"].kind == "bn"][:3]
    net.plain.get_submodule(batch.target).train()  # alone, as some methods leave it
    graph = net.plain.graph
    with graph.inserting_after(read):
        both = graph.call_function(torch.add, (read, read.args[0]))
    read.replace_all_uses_with(both, lambda user: user is not both)
    net.plain.recompile()
    net.plain.get_submodule(hook.target).register_forward_hook(lambda *_: None)
    made = fold(net)
    reasons = {r.place: r.reason for r in made.refused}
    assert set(reasons) == {str(n.target) for n in (batch, read, hook)}
    assert "statistics of the batch" in reasons[str(batch.target)]
    assert "something else reads" in reasons[str(read.target)]
    assert "hooks" in reasons[str(hook.target)]
    assert len(made.folded) == len(pairs) - 3
    x = samples(net.inp, 3).double()
    assert apart(values(made, x), values(net, x)) <= 1e-10


def test_a_folded_network_is_not_trained():
    made = fold(network("nasbench201", architectures("nasbench201", 1)[0]))
    assert not any(p.requires_grad for p in made.parameters())
    with pytest.raises(NotFoldable, match="inference"):
        made.train()
    assert not made.eval().training


def test_files_of_folded_networks(tmp_path):
    genotype = architectures("darts", 1)[0]
    made = fold(network("darts", genotype))
    x = samples(made.inp, 3)
    exported = program.write_program(made.plain, made.inp, tmp_path / "net.pt2")
    assert apart(exported.module()(x), values(made, x)) <= 1e-5
    assert not any("batch_norm" in str(n.target) for n in exported.graph.nodes)
    assert not any(isinstance(m, Noise) for m in made.modules())
    pytest.importorskip("onnxruntime")
    onnx_file.write_onnx(made.plain, made.inp, tmp_path / "net.onnx")
    onnx_file.compare(made.plain, made.inp, tmp_path / "net.onnx")


def test_export_fold(tmp_path, load_model):
    order = [
        "export", "nasbench201", "-P", "C=4", "-P", "n=1", "--target", "C=4", "--target", "n=1",
        "--genotype", "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|none~1|none~2|",
    ]  # fmt: skip
    nets = []
    for more in ([], ["--fold"]):
        out = tmp_path / f"net{len(more)}"
        done = CliRunner().invoke(cli, [*order, "--as", "model", "-o", str(out), *more])
        assert done.exit_code == 0, done.output
        nets.append(load_model(out))
    assert "batch-norms are in their convolutions" in done.output
    assert json.loads((out / "space.json").read_text())["weights"]["folded"] > 3
    plain, folded = nets
    x = torch.randn(2, 3, 32, 32)
    assert apart(folded(x), plain(x)) <= 1e-4
    count = [sum(isinstance(m, torch.nn.BatchNorm2d) for m in n.modules()) for n in nets]
    assert count[1] < count[0]
    assert CliRunner().invoke(cli, [*order, "--fold"]).exit_code == 2


@pytest.fixture
def load_model():
    import importlib.util
    import sys

    def load(folder):
        name = f"model_{folder.name}"
        spec = importlib.util.spec_from_file_location(name, folder / "model.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module.load()

    return load
