"""Narrow convolutions that stride: their gradients are right on every processor."""

import pytest
import torch
from torch.nn import functional as F

from nasdsl.oneshot import narrow
from nasdsl.oneshot.optimizers import gradients


def loss_of(dtype, channels=4, stride=2, last=True):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(32, channels, 16, 16, generator=draw).to(dtype)
    w = torch.randn(8, channels, 1, 1, generator=draw).to(dtype).requires_grad_()
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, w, None, stride).square().mean(), {"w": w}


def test_gradients_are_those_in_double_precision():
    """oneDNN 6035: the process died here, or the gradient was wrong, where vectors are AVX2."""
    for _ in range(20):  # the heap is broken by the first, and noticed by a later one
        loss, weights = loss_of(torch.float32)
        exact, wide = loss_of(torch.float64)
        found, wanted = gradients(loss, weights)["w"], gradients(exact, wide)["w"]
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "stride", "avoided"), [(4, 2, True), (7, 2, True), (8, 2, False), (4, 1, False)]
)
def test_other_convolutions_stay_with_onednn(channels, stride, avoided, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    before = torch.backends.mkldnn.enabled
    loss, weights = loss_of(torch.float32, channels, stride)
    with narrow.careful(loss, weights):
        assert torch.backends.mkldnn.enabled == (before and not avoided)
    assert torch.backends.mkldnn.enabled == before
    with narrow.careful(loss.double(), weights):
        assert torch.backends.mkldnn.enabled == before


def test_processors_with_avx512_have_other_kernels(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    loss, weights = loss_of(torch.float32, stride=1)
    with narrow.careful(loss, weights):
        assert torch.backends.mkldnn.enabled
