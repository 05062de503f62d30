"""Compiled packages run without nasdsl and give the same numbers."""

import json
import subprocess
import sys

import pytest
import torch
from random_spaces import random_text
from spaces_for_tests import bundled_space, images, space_of

from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.package import write_network, write_supernet
from nasdsl.codegen.supernet import Supernet
from nasdsl.ir.formats import forms

PROGRAM = """
import importlib.abc, json, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("nasdsl", "safetensors", "lark", "networkx", "click"):
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Block())
import torch

jobs = json.loads(sys.argv[1])
for folder, name in jobs:
    sys.path.insert(0, folder)
    package = importlib.import_module(name)
    made = torch.load(f"{folder}/{name}.in.pt", weights_only=True)
    net = package.load()
    if "mixes" in made:
        found = [net.eval()(made["x"], mix) for mix in made["mixes"]]
        found.append(net.train()(made["x"], package.uniform_mix()))
    else:
        found = [net(made["x"]), net.train()(made["x"])]
    torch.save([f.detach() for f in found], f"{folder}/{name}.out.pt")
assert not any(m.split(".")[0] in ("nasdsl", "safetensors") for m in sys.modules)
"""

V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"

TOKENS = """nas 1
op mlp(f) = identity + (layer_norm >> linear(2 * width) >> gelu >> dropout(0.1) >> linear(width))
space s {
  width = 8
  input image(3, 8, 8)
  stem  patch_embed(4) >> class_token >> position
  stage identity + (layer_norm >> attention(2))
  stage one_of {mlp(1), linear(8), layer_norm}
  head  layer_norm >> token(0) >> linear(5)
}
"""


def shake(net, seed=0):
    """Weights and running statistics that no initialisation would give."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=draw) * 0.2)


def supernets():
    yield "darts", bundled_space("darts.nas", "darts", C=4, layers=3, data=images(3, 8, 5))
    yield "bench", bundled_space("nasbench201.nas", "nasbench201", C=4, n=1, data=images(3, 8, 5))
    yield "nested", bundled_space("small.nas", "hierarchical", C=4, data=images(3, 8, 5))
    yield "tokens", space_of(TOKENS, "s")
    for seed in (2, 5):
        yield f"random{seed}", space_of(random_text(seed), "s")


def networks():
    for name, file, space, text, size in (
        ("darts_net", "darts.nas", "darts", V2, 32),
        ("bench_net", "nasbench201.nas", "nasbench201", CELL, 8),
    ):
        small = {"C": 4, "layers": 3} if space == "darts" else {"C": 4, "n": 1}
        data = images(3, size, 5)
        genotype = forms.parse(text, bundled_space(file, space, data=data, **small))
        target = {"C": 4, "layers": 3} if space == "darts" else None
        made = bundled_space(file, space, data=data, genotype=genotype, target=target, **small)
        yield name, made.target


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Every package written, and run in one process that has torch alone."""
    folder = tmp_path_factory.mktemp("packages")
    wanted, jobs = {}, []
    for name, space in supernets():
        net = Supernet(space, seed=1)
        shake(net)
        write_supernet(net, folder / name, source="a.nas", version="0")
        x = torch.randn(3, *space.supernet.inp.dims, generator=torch.Generator().manual_seed(0))
        shared = net.uniform()
        for mix in shared.values():
            mix.mul_(torch.rand(mix.shape, generator=torch.Generator().manual_seed(1)))
        last = net.slots[-1]
        own = {**shared, last.instance: torch.rand_like(net.spread(shared)[last.instance])}
        torch.save({"x": x, "mixes": [shared, own]}, folder / f"{name}.in.pt")
        with torch.no_grad():
            wanted[name] = [net.eval()(x, shared), net(x, own), net.train()(x, net.uniform())]
        jobs.append((str(folder), name))
    for name, network in networks():
        net = Discrete(network, aux=network.aux is not None, seed=1)
        shake(net)
        write_network(net, folder / name, name="s", genotype="g", source="a.nas", version="0")
        x = torch.randn(3, *network.inp.dims, generator=torch.Generator().manual_seed(0))
        torch.save({"x": x}, folder / f"{name}.in.pt")
        with torch.no_grad():
            wanted[name] = [net.eval()(x), net.train()(x)]
        jobs.append((str(folder), name))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(jobs)],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, wanted


NAMES = ["darts", "bench", "nested", "random2", "random5", "darts_net", "bench_net"]


@pytest.mark.parametrize("name", NAMES)
def test_a_package_gives_the_numbers_of_the_network_in_memory(name, packages):
    """Evaluation with shared and own mixes, then training mode; torch is all it imports."""
    folder, wanted = packages
    found = torch.load(folder / f"{name}.out.pt", weights_only=True)
    assert len(found) == len(wanted[name])
    for a, b in zip(found, wanted[name], strict=True):
        assert torch.equal(a, b)


def test_a_package_of_tokens_gives_the_numbers_of_the_network_in_memory(packages):
    """In evaluation mode: dropout draws anew in training."""
    folder, wanted = packages
    found = torch.load(folder / "tokens.out.pt", weights_only=True)
    for a, b in zip(found[:2], wanted["tokens"][:2], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", [*NAMES, "tokens"])
def test_a_package_is_readable_source_with_its_lines(name, packages):
    folder, _ = packages
    place = folder / name
    files = {"__init__.py", "model.py", "model.safetensors", "space.json"}
    assert {p.name for p in place.iterdir()} - {"__pycache__"} == files
    text = (place / "model.py").read_text()
    assert ".nas:" in text
    assert "import nasdsl" not in text and "from nasdsl" not in text
    info = json.loads((place / "space.json").read_text())
    assert info["kind"] == ("network" if name.endswith("_net") else "supernet")


def test_a_network_package_leaves_the_auxiliary_head_out(packages):
    """It is for training alone."""
    folder, _ = packages
    assert "aux" not in (folder / "darts_net" / "model.py").read_text()
