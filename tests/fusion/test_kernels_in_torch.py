"""Functions that passes put into graphs, against what they stand for."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasdsl.fusion.depthwise import depthwise, gradients, library
from nasdsl.fusion.gram import gram_sum
from nasdsl.fusion.norms import counted, normalised, shared
from nasdsl.fusion.staged import staged
from nasdsl.fusion.sums import total, weighted_sum

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def maps(count, *dims, layout=torch.contiguous_format, seed=0):
    draw = torch.Generator().manual_seed(seed)
    made = [torch.randn(dims, generator=draw, dtype=torch.float64) for _ in range(count)]
    return [m.contiguous(memory_format=layout).requires_grad_() for m in made]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weighted_sums_have_both_derivatives(layout):
    weights = [w.detach().requires_grad_() for w in torch.rand(2, dtype=torch.float64)]
    values = maps(4, 2, 3, 4, 4, layout=layout)

    def f(*tensors):
        return weighted_sum(tensors[:2], tensors[2:]) + total(*tensors[2:])

    assert torch.autograd.gradcheck(f, (*weights, *values))
    assert torch.autograd.gradgradcheck(f, (*weights, *values))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("training", [True, False])
def test_a_scaled_norm_is_the_norm_scaled(layout, training):
    for affine in (True, False):
        bn = nn.BatchNorm2d(3, affine=affine).double().train(training)
        (x,) = maps(1, 4, 3, 5, 5, layout=layout)
        scale = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        found = normalised(x, bn, scale)
        other = nn.BatchNorm2d(3, affine=affine).double().train(training)
        torch.testing.assert_close(found, scale * other(x), rtol=1e-12, atol=1e-12)
        slope = torch.linspace(-1, 1, x.numel(), dtype=torch.float64).view(x.shape)
        mine = torch.autograd.grad((found * slope).sum(), [x, scale])
        theirs = torch.autograd.grad((scale * other(x) * slope).sum(), [x, scale])
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_shared_norms_move_all_statistics():
    norms = [nn.BatchNorm2d(3, affine=False).double() for _ in range(3)]
    alone = nn.BatchNorm2d(3, affine=False).double()
    for seed in range(3):
        (x,) = maps(1, 4, 3, 5, 5, seed=seed)
        counted(*norms)
        outs = shared(x + seed, norms)
        wanted = alone(x + seed)
        for out in outs:
            torch.testing.assert_close(out, wanted, rtol=1e-12, atol=1e-12)
    for bn in norms:
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(bn.state_dict()[name], value, rtol=1e-12, atol=1e-12)
    norms[1].running_mean.add_(1)
    for bn in norms:
        bn.eval()
    outs = shared(x, norms)
    torch.testing.assert_close(
        outs[0], outs[1] + 1 / (bn.running_var + bn.eps).sqrt()[:, None, None]
    )


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (8, 9)])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_depthwise_convolutions(size, kernel, dilation, stride):
    """Every way to compute them, even and odd extents, against the library's."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, *size, generator=draw, dtype=torch.float64)
    weight = torch.randn(5, 1, kernel, kernel, generator=draw, dtype=torch.float64)
    pad = dilation * (kernel - 1) // 2
    y = F.conv2d(x, weight, None, stride, pad, dilation, 5)
    g = torch.randn(y.shape, generator=draw, dtype=torch.float64)
    how = ((stride, stride), (pad, pad), (dilation, dilation))
    for layout in LAYOUTS:
        given = [t.contiguous(memory_format=layout) for t in (g, x)]
        with torch.no_grad():
            found = gradients(*given, weight, how, (True, True), 5)
            wanted = library(*given, weight, how, (True, True), 5)
            only = gradients(*given, weight, how, (False, True), 5)
        assert only[0] is None
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def test_depthwise_and_staged_have_both_derivatives():
    conv = nn.Conv2d(3, 3, 3, padding=2, dilation=2, groups=3, bias=True).double()
    point, norm = nn.Conv2d(2, 3, 1, bias=True).double(), nn.BatchNorm2d(3).double()
    (x,) = maps(1, 2, 3, 4, 4)
    assert torch.autograd.gradcheck(lambda v: depthwise(v, conv), (x,))
    assert torch.autograd.gradgradcheck(lambda v: depthwise(v, conv), (x,))
    (z,) = maps(1, 2, 2, 4, 4, seed=3)
    assert torch.autograd.gradcheck(lambda v: staged(v, point, norm, conv), (z,))
    assert torch.autograd.gradgradcheck(lambda v: staged(v, point, norm, conv), (z,))


def test_variances_beside_a_large_mean_are_right_in_float32():
    """Mean / deviation of 100: the covariance is shifted, so the variance keeps its digits."""
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(16, 8, 16, 16, generator=draw) + 100
    conv, bn = nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8, affine=False, momentum=1.0)
    y = F.conv2d(z.double(), conv.weight.double())
    wanted = y.var((0, 2, 3))
    one = torch.ones(())
    with torch.no_grad():
        out = gram_sum([], [], [one], [z.clone()], [conv], [bn], [True])
    assert ((bn.running_var - wanted) / wanted).abs().max() < 1e-5
    exact = (y - y.mean((0, 2, 3), keepdim=True)) / (
        y.var((0, 2, 3), keepdim=True, unbiased=False) + bn.eps
    ).sqrt()
    assert (out - exact).abs().max() < 1e-4


def test_owned_inputs_are_the_only_ones_that_change():
    convs = [nn.Conv2d(3, 4, 1, bias=False).double() for _ in range(2)]
    norms = [nn.BatchNorm2d(4, affine=False).double() for _ in range(2)]
    inputs = [m.detach() for m in maps(2, 2, 3, 4, 4, layout=torch.channels_last)]
    before = [m.clone() for m in inputs]
    scales = [torch.tensor(0.5, dtype=torch.float64)] * 2
    gram_sum([], [], scales, inputs, convs, norms, [False, True])
    assert torch.equal(inputs[0], before[0])
    assert not torch.equal(inputs[1], before[1])
