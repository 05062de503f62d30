"""Networks of every bundled space outside the tool: with torch alone, as ONNX, as torch.export."""

import json
import subprocess
import sys

import pytest
import torch
from small_networks import SPACES, architectures, network, small

from nasdsl.codegen import onnx_file, package, program
from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.emit import NotExecutable
from nasdsl.ops.plain import Noise

#: Runs in a process that finds torch, what torch itself needs, and the standard library. numpy,
#: which torch can do without, is not there.
PROGRAM = """
import importlib, json, os, sys

ALLOWED = {"torch", "torchgen", "functorch", "typing_extensions", "filelock", "sympy", "mpmath",
           "networkx", "jinja2", "markupsafe", "fsspec", "model"}

class Alone:
    # A finder that knows only what torch alone needs.

    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        known = top in ALLOWED or top in sys.stdlib_module_names or top[:11] == "_sysconfigd"
        return self.finder.find_spec(name, path, target) if known else None

sys.meta_path[:] = [Alone(f) for f in sys.meta_path]
import importlib.util
import torch

for folder in json.loads(sys.stdin.read()):
    spec = importlib.util.spec_from_file_location("model", f"{folder}/net/model.py")
    model = importlib.util.module_from_spec(spec)
    sys.modules["model"] = model
    spec.loader.exec_module(model)
    x = torch.load(f"{folder}/x.pt", weights_only=True)
    nets = [model.load()]
    if os.path.exists(f"{folder}/net.pt2"):
        nets.append(torch.export.load(f"{folder}/net.pt2").module())
    found = []
    for net in nets:
        torch.manual_seed(0)
        with torch.no_grad():
            found.append(net(x))
    torch.save(found, f"{folder}/y.pt")
alone = {name.split(".")[0] for name in sys.modules}
assert not alone & {"nasdsl", "safetensors", "numpy", "onnx", "lark", "click"}, alone
"""

#: One space per kind of input and operation; ONNX takes seconds per network.
FAMILIES = [
    "one_edge", "nasbench201", "robust_s4", "tnb101_jigsaw", "gpt_small", "tabular", "conv1d",
]  # fmt: skip


def write(net, folder):
    """A network as a package, with an input beside it; what it gives for that input."""
    package.write_network(net, folder / "net", name="s", genotype="g", source="a.nas", version="0")
    x = program.samples(net.inp, 3, seed=1)
    torch.save(x, folder / "x.pt")
    torch.manual_seed(0)
    with torch.no_grad():
        return net(x)


def alone(folders):
    """Load and run everything with torch alone."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps([str(f) for f in folders]),
        cwd=folders[0], capture_output=True, text=True, timeout=3000,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [torch.load(f / "y.pt", weights_only=True) for f in folders]


def agree(found, wanted, tolerance):
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def trains(net):
    """Forward and backward in training mode: finite gradients."""
    net.train()
    x = program.samples(net.inp, 2, seed=2)
    y = net(x)
    assert y.shape == (2, *net.network.out.dims)
    y.square().mean().backward()
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    assert grads and all(bool(g.isfinite().all()) for g in grads)


def exported(name, count, tmp_path):
    """Random networks of a space: built, trained a step, written, run with torch alone."""
    folders, wanted = [], []
    for i, genotype in enumerate(architectures(name, count)):
        net = network(name, genotype, seed=i)
        folders.append(tmp_path / f"{name}_{i}")
        wanted.append(write(net, folders[-1]))
        trains(net)
    return folders, wanted


def test_networks_of_every_bundled_space_run_with_torch_alone(tmp_path):
    folders, wanted = [], []
    for name in SPACES:
        made, values = exported(name, 1, tmp_path)
        folders += made
        wanted += values
    assert len(folders) == len(SPACES) >= 35
    for folder, (found,), value in zip(folders, alone(folders), wanted, strict=True):
        agree(found, value, 1e-5)
        assert float(value.std()) > 1e-3, folder.name


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_twenty_networks_run_with_torch_alone(name, tmp_path):
    folders, wanted = exported(name, 20, tmp_path)
    for (found,), value in zip(alone(folders), wanted, strict=True):
        agree(found, value, 1e-5)


def beyond(name, genotype, seed, folder):
    """A network as a torch.export program and as ONNX."""
    net = network(name, genotype, seed=seed)
    wanted = write(net, folder)
    made = program.write_program(net.plain, net.inp, folder / "net.pt2")
    if onnx_file.is_random(net.plain):
        # What is drawn in onnxruntime is not what torch draws: without noise the rest is compared.
        for module in net.plain.modules():
            if isinstance(module, Noise):
                module.std = 0.0
        made = program.program(net.plain, net.inp)
    onnx_file.write_onnx(net.plain, net.inp, folder / "net.onnx", made=made)
    assert onnx_file.compare(net.plain, net.inp, folder / "net.onnx") < 1e-4 * (
        1 + float(wanted.abs().max())
    )
    return wanted


@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_agrees_in_onnxruntime_and_as_a_program(name, tmp_path):
    """Batches of 1 and 3 from files made with a batch of 2."""
    wanted = beyond(name, architectures(name, 1)[0], 0, tmp_path)
    for found in alone([tmp_path])[0]:
        agree(found, wanted, 1e-5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SPACES)
def test_twenty_networks_agree_in_onnxruntime_and_as_programs(name, tmp_path):
    folders, wanted = [], []
    for i, genotype in enumerate(architectures(name, 20)):
        folders.append(tmp_path / str(i))
        folders[-1].mkdir()
        wanted.append(beyond(name, genotype, i, folders[-1]))
    for both, value in zip(alone(folders), wanted, strict=True):
        for found in both:
            agree(found, value, 1e-5)


# ---- what is refused


def test_what_is_missing_for_onnx_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(onnx_file.MissingExtra, match=r"onnxscript .* pip install 'nasdsl\[onnx\]'"):
        onnx_file.require()


def test_a_file_of_another_network_is_found_out(tmp_path):
    genotype = architectures("one_edge", 1)[0]
    place = tmp_path / "net.onnx"
    one = network("one_edge", genotype, seed=1)
    onnx_file.write_onnx(one.plain, one.inp, place)
    assert onnx_file.compare(one.plain, one.inp, place) < 1e-4
    other = network("one_edge", genotype, seed=2)
    with pytest.raises(onnx_file.Disagreement, match="from the network"):
        onnx_file.compare(other.plain, other.inp, place)


def test_a_module_that_a_package_cannot_build_is_refused(tmp_path):
    net = network("one_edge", architectures("one_edge", 1)[0])
    net.plain.add_module("odd", torch.nn.Bilinear(1, 1, 1))
    with pytest.raises(NotExecutable, match="Bilinear"):
        write(net, tmp_path)


def test_every_primitive_can_be_built_in_a_package():
    """Each class that a primitive of the bundled spaces makes comes back as it was."""
    seen = set()
    for name in SPACES:
        for genotype in architectures(name, 2):
            with torch.device("meta"):
                net = Discrete(small(name, genotype).target)
            seen |= {type(m).__name__ for m in net.plain.modules()}
    assert {"Conv2d", "Conv1d", "ConvTranspose2d", "FactorizedReduce", "LayerNorm", "Attention",
            "Embed", "Fold", "Unfold", "SqueezeExcite", "Noise", "Dropout"} <= seen  # fmt: skip
