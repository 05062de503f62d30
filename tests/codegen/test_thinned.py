"""Narrow pointwise convolutions with a stride: right on every processor (oneDNN, issue 6035)."""

import pytest
import torch
from spaces_for_tests import space_of
from torch import nn
from torch.nn import functional as F

from nasdsl.codegen.discrete import Discrete
from nasdsl.codegen.package import write_network
from nasdsl.codegen.supernet import Supernet
from nasdsl.ops.conv import FactorizedReduce, Thinned, pointwise

TEXT = """nas 1
space s(C) {
  width = C
  input image(3, 8, 8)
  stem  conv(3) >> bn
  stage conv(1, stride = 2) >> bn
  stage factorized_reduce { stride = 2 }
  head  global_avg_pool >> linear(5)
}
"""


@pytest.mark.parametrize("channels", [1, 4, 7])
def test_gradients_are_those_in_double_precision(channels):
    """The process died here, or the gradient was wrong, where vectors are AVX2."""
    torch.manual_seed(0)
    conv = pointwise(channels, 8, (2, 2), bias=True)
    assert type(conv) is Thinned
    exact = nn.Conv2d(channels, 8, 1, stride=2).double()
    exact.load_state_dict(conv.state_dict())
    for _ in range(20):  # the heap is broken by the first, and noticed by a later one
        x = torch.randn(32, channels, 16, 16).contiguous(memory_format=torch.channels_last)
        for one, given in ((conv, x), (exact, x.double())):
            one.zero_grad()
            one(given).square().mean().backward()
        for p, q in zip(conv.parameters(), exact.parameters(), strict=True):
            torch.testing.assert_close(p.grad.double(), q.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stride", [(2, 2), (1, 3)])
def test_it_is_the_same_convolution(stride):
    conv = pointwise(5, 6, stride, bias=False).double()
    x = torch.randn(2, 5, 9, 10, dtype=torch.float64)
    torch.testing.assert_close(conv(x), F.conv2d(x, conv.weight, None, stride))


def test_others_stay_what_they_are():
    assert type(pointwise(8, 4, (2, 2), bias=True)) is nn.Conv2d
    assert type(pointwise(4, 4, (1, 1), bias=True)) is nn.Conv2d


@pytest.mark.parametrize(("channels", "kind"), [(4, Thinned), (8, nn.Conv2d)])
def test_reductions_and_spaces_have_them_where_few_channels_are(channels, kind):
    net = Supernet(space_of(TEXT, "s", C=channels))
    found = [type(m) for m in net.modules() if getattr(m, "stride", None) == (2, 2)]
    assert found == [kind] * 3
    assert any(isinstance(m, FactorizedReduce) for m in net.modules())


def test_a_package_has_them(tmp_path):
    target = space_of(TEXT, "s", C=4).target
    write_network(
        Discrete(target, seed=3), tmp_path, name="s", genotype="", source=TEXT, version="0"
    )
    code = (tmp_path / "model.py").read_text()
    assert "class Thinned" in code and "def pointwise" in code and "Thinned(4, " in code
