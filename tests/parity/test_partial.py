"""Partial channels with edge normalisation equal an independent implementation, in float64."""

import math

import pytest
import torch
from independent import fill, fixture, supernet, ways
from spaces_for_tests import bundled_space, images
from test_supernets import fixture_path
from torch.nn import functional as F

from nasdsl.ir.verify import verify
from nasdsl.passes.edge_norm import edge_norm
from nasdsl.passes.partial import partial


def plain(name):
    """A module's path without the scopes that the edit puts around a choice."""
    inserted = ("branches", "branch", "choice")
    return ".".join(part for part in name.split(".") if part not in inserted)


@ways(["pcdarts_c8_l3_k4"], every=())
def test_pc_darts_equals_the_independent_implementation(name, profile, mode, compiler, monkeypatch):
    data = fixture(name)
    shape = data["input_shape"]
    given = {"C": 8, "layers": 3, "data": images(shape[1], shape[2], data["classes"])}
    space = edge_norm(partial(bundled_space("darts.nas", "darts", **given), 4))
    assert verify(space) == []
    net = supernet(space, profile, compiler, monkeypatch)
    stages = [s.name for s in space.supernet.stages]
    fill(net, data, lambda n: fixture_path(stages, plain(n)))
    n = torch.arange(math.prod(shape), dtype=torch.float64)
    x = torch.sin(12.9898 * n + 1).reshape(shape)
    y = torch.arange(shape[0]) % data["classes"]
    alphas = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in data["alphas"]]
    betas = [torch.tensor(b, dtype=torch.float64, requires_grad=True) for b in data["betas"]]
    mix = {}
    for name, alpha, beta in zip(("normal", "reduce"), alphas, betas, strict=True):
        rows, first = [F.softmax(alpha, dim=-1)], 0
        for edges in (2, 3, 4, 5):
            row = F.softmax(beta[first : first + edges], dim=-1)
            rows.append(F.pad(row, (0, 8 - edges))[None])
            first += edges
        mix[name] = torch.cat(rows)
    assert [net.tables[n].shape for n in mix] == [(18, 8), (18, 8)]
    if mode == "instances":
        mix = {s.instance: mix[s.table] for s in net.slots}
    logits = net(x, mix)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    expected = torch.tensor(data["logits"], dtype=torch.float64)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-11)
    assert loss.item() == pytest.approx(data["loss"], rel=1e-9)
    for found, key in ((alphas, "alpha_grads"), (betas, "beta_grads")):
        for parameter, wanted in zip(found, data[key], strict=True):
            wanted = torch.tensor(wanted, dtype=torch.float64)
            torch.testing.assert_close(parameter.grad, wanted, rtol=1e-9, atol=1e-11)
    squares = sum((p.grad**2).sum() for p in net.parameters() if p.grad is not None)
    assert math.sqrt(squares) == pytest.approx(data["weight_grad_l2"], rel=1e-9)
