"""Statistics measured anew are the plain average under every profile, also where norms are fused."""

import pytest
import torch
from small_runs import plan
from torch import nn

from nasdsl.codegen.supernet import Supernet
from nasdsl.training.reestimate import reestimate


class Mixed(nn.Module):
    """A supernet with its mix, and in one-path mode with a path."""

    def __init__(self, mode, profile):
        super().__init__()
        self.net = net = Supernet(plan().space(), mode=mode, profile=profile).double()
        self.given = [{n: m.double() for n, m in net.uniform().items()}]
        if mode == "one_path":
            self.given.append({n: [3] * len(t.labels) for n, t in net.tables.items()})

    def forward(self, x):
        return self.net(x, *self.given)


def measured(mode, profile):
    """Running statistics of two batches, and what a network with them gives."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn((8, 3, 8, 8), dtype=torch.float64, generator=draw)
    net = Mixed(mode, profile)
    net.train()
    net(x)
    reestimate(net, [x + 3, x - 1])
    found = {n: b.clone() for n, b in net.named_buffers() if "running" in n}
    net.eval()
    return {**found, "y": net(x).detach()}


@pytest.mark.parametrize("profile", ["balanced", "launch"])
@pytest.mark.parametrize("mode", ["dense", "one_path"])
def test_statistics_are_those_of_the_reference(mode, profile):
    expected, found = measured(mode, "reference"), measured(mode, profile)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-9, msg=name)
