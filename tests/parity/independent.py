"""A supernet against the numbers of a fixture: inputs and weights rebuilt from formulas.

The formulas stand in `fixtures/README.md`.
"""

import json
import math
import zlib
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.profile import PROFILES

FIXTURES = Path(__file__).parent / "fixtures"


#: How a supernet runs: modes under the reference, then every profile, and those that generate
#: kernels without a compiler as well.
WAYS = (
    *(("reference", mode, True) for mode in ("dense", "instances")),
    *((name, "dense", True) for name in PROFILES if name != "reference"),
    *((name, "dense", False) for name in ("balanced", "memory")),
)


def ways(names, every):
    """Each name with each way; those of `every` in every run of the tests, the rest slowly."""
    found = []
    for name in names:
        for profile, mode, compiler in WAYS:
            quick = profile == "reference" or (compiler and name in every)
            label = "-".join((name, profile, mode, *(() if compiler else ("without",))))
            found.append(
                pytest.param(
                    name, profile, mode, compiler, id=label, marks=() if quick else pytest.mark.slow
                )
            )
    return pytest.mark.parametrize(("name", "profile", "mode", "compiler"), found)


def supernet(space, profile, compiler, monkeypatch):
    """A supernet in float64 that runs so."""
    if not compiler:
        monkeypatch.setenv("CXX", "no-such-compiler")
    return Supernet(space, profile=profile).double().train()


def fixture(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())


def sine(shape, path, fan):
    count = math.prod(shape)
    phase = zlib.crc32(path.encode()) / 2**32 * 2 * math.pi
    n = torch.arange(count, dtype=torch.float64)
    return (torch.sin(0.7 * n + phase) / math.sqrt(fan)).reshape(shape)


def weights_by_path(net, fixture_path):
    """Our modules with weights, named as the fixture names them, in order of execution."""
    counts, found = {}, {}
    for name, module in net.graph.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            path = fixture_path(name)
            i = counts.get(path, 0)
            counts[path] = i + 1
            found[f"{path}/{i}"] = module
    return found


def fill(net, data, fixture_path):
    """The fixture's weights, each in its place; every weight has one."""
    modules = weights_by_path(net, fixture_path)
    assert sum(p.numel() for p in net.parameters()) == data["n_weight_params"]
    weights = [path for path, _ in data["paths"] if not path.endswith(".bias")]
    assert set(modules) == set(weights)
    with torch.no_grad():
        for path, dims in data["paths"]:
            if path.endswith(".bias"):
                modules[path.removesuffix(".bias")].bias.copy_(sine(dims, path, 100))
                continue
            module = modules[path]
            assert list(module.weight.shape) == dims, path
            module.weight.copy_(sine(dims, path, math.prod(dims[1:])))


def agree(net, data, fixture_path, mix_of, mode):
    """Logits, loss and gradients equal the fixture's to a relative error of 1e-9.

    `mix_of(alphas)` gives the mix by table from the raw parameters; in mode `instances` every
    instance gets it by its own name.
    """
    fill(net, data, fixture_path)
    shape = data["input_shape"]
    n = torch.arange(math.prod(shape), dtype=torch.float64)
    x = torch.sin(12.9898 * n + 1).reshape(shape)
    y = torch.arange(shape[0]) % data["classes"]
    alphas = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in data["alphas"]]
    tables = mix_of([F.softmax(a, dim=-1) for a in alphas])
    if mode == "instances":
        tables = {s.instance: tables[s.table] for s in net.slots}
    logits = net(x, tables)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    expected = torch.tensor(data["logits"], dtype=torch.float64)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-11)
    assert loss.item() == pytest.approx(data["loss"], rel=1e-9)
    for alpha, wanted in zip(alphas, data["alpha_grads"], strict=True):
        wanted = torch.tensor(wanted, dtype=torch.float64)
        grad = alpha.grad if alpha.grad is not None else torch.zeros_like(wanted)
        torch.testing.assert_close(grad, wanted, rtol=1e-9, atol=1e-11)
    squares = sum((p.grad**2).sum() for p in net.parameters() if p.grad is not None)
    assert math.sqrt(squares) == pytest.approx(data["weight_grad_l2"], rel=1e-9)
