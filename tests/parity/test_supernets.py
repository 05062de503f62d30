"""Supernets compiled from `.nas` files equal an independent implementation, in float64.

The fixtures hold formulas for inputs and weights and the numbers that must come out: logits,
loss, gradients of alphas, norm of all weight gradients. See `fixtures/README.md`.
"""

import json
import math
import zlib
from pathlib import Path

import pytest
import torch
from spaces_for_tests import bundled_space, images
from torch import nn
from torch.nn import functional as F

from nasdsl.codegen.supernet import Supernet

FIXTURES = Path(__file__).parent / "fixtures"
SPACES = {
    "darts_c4_l3": ("darts.nas", "darts", {"C": 4, "layers": 3}),
    "darts_wide_like_c6_l4": ("darts.nas", "darts", {"C": 6, "layers": 4}),
    "darts_single_cell_c4_l1_s8": ("darts.nas", "darts", {"C": 4, "layers": 1, "nodes": 8}),
    "nb201_c4_n1": ("nasbench201.nas", "nasbench201", {"C": 4, "n": 1}),
}


def fixture(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())


def sine(shape, path, fan):
    count = math.prod(shape)
    phase = zlib.crc32(path.encode()) / 2**32 * 2 * math.pi
    n = torch.arange(count, dtype=torch.float64)
    return (torch.sin(0.7 * n + phase) / math.sqrt(fan)).reshape(shape)


def fixture_path(stages, name):
    """The fixture's name of one of our convolutions or linear maps, without its number."""
    stage, *rest = name.split(".")
    if stage in ("stem", "head"):
        return stage
    c = [s for s in stages if s not in ("stem", "head")].index(stage)
    if stage.startswith("resblock"):
        return f"cell{c}/resblock"
    place = rest[0]
    states = {"prev2": 0, "prev": 1, "x1": 2} if "normal" in stage or "reduce" in stage else {}
    offset = 2 if states else 1
    if place in ("prev2", "prev"):
        return f"cell{c}/pre{states[place]}"
    target, source = place.split("_", 1)

    def number(node):
        return {"prev2": 0, "prev": 1, "a": 0}.get(
            node, offset - 1 + int(node[1:]) if node[0] == "x" else 0
        )

    return f"cell{c}/edge{number(source)}-{number(target)}/{rest[1]}"


def weights_by_path(supernet):
    """Our modules with weights, named as the fixture names them, in order of execution."""
    stages = [s.name for s in supernet.space.supernet.stages]
    counts, found = {}, {}
    for name, module in supernet.graph.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            path = fixture_path(stages, name)
            i = counts.get(path, 0)
            counts[path] = i + 1
            found[f"{path}/{i}"] = module
    return found


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("mode", ["dense", "instances"])
def test_supernet_equals_the_independent_implementation(name, mode):
    data = fixture(name)
    file, space_name, parameters = SPACES[name]
    shape = data["input_shape"]
    space = bundled_space(
        file, space_name, **parameters, data=images(shape[1], shape[2], data["classes"])
    )
    supernet = Supernet(space).double().train()
    modules = weights_by_path(supernet)
    assert sum(p.numel() for p in supernet.parameters()) == data["n_weight_params"]
    with torch.no_grad():
        for path, dims in data["paths"]:
            if path.endswith(".bias"):
                modules[path.removesuffix(".bias")].bias.copy_(sine(dims, path, 100))
                continue
            module = modules[path]
            assert list(module.weight.shape) == dims, path
            module.weight.copy_(sine(dims, path, math.prod(dims[1:])))
    n = torch.arange(math.prod(shape), dtype=torch.float64)
    x = torch.sin(12.9898 * n + 1).reshape(shape)
    y = torch.arange(shape[0]) % data["classes"]
    alphas = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in data["alphas"]]
    names = ["normal", "reduce"] if len(alphas) == 2 else ["c"]
    tables = {k: F.softmax(a, dim=-1) for k, a in zip(names, alphas, strict=True)}
    if mode == "instances":
        tables = {s.instance: tables[s.table] for s in supernet.slots}
    logits = supernet(x, tables)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    expected = torch.tensor(data["logits"], dtype=torch.float64)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-11)
    assert loss.item() == pytest.approx(data["loss"], rel=1e-9)
    for alpha, wanted in zip(alphas, data["alpha_grads"], strict=True):
        wanted = torch.tensor(wanted, dtype=torch.float64)
        grad = alpha.grad if alpha.grad is not None else torch.zeros_like(wanted)
        torch.testing.assert_close(grad, wanted, rtol=1e-9, atol=1e-11)
    squares = sum((p.grad**2).sum() for p in supernet.parameters() if p.grad is not None)
    assert math.sqrt(squares) == pytest.approx(data["weight_grad_l2"], rel=1e-9)
