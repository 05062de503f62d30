"""Discrete networks under every profile: the values, gradients and statistics of the reference."""

import copy
import random
import sys
from pathlib import Path

import pytest
import torch

from nasdsl import driver
from nasdsl.codegen.discrete import Discrete
from nasdsl.fusion.profile import PROFILES, profile
from nasdsl.ir.sampling import sample
from nasdsl.kernels.toolchain import Missing, toolchain

sys.path.insert(0, str(Path(__file__).parent.parent / "known"))
from test_every_space import batch, small  # noqa: E402

EVERY = [(file, name) for name, file in sorted(driver.index("space").items())]
FUSED = [name for name in PROFILES if name != "reference"]
needs_compiler = pytest.mark.skipif(isinstance(toolchain(), Missing), reason="no compiler")


def drawn(file, name, seed=0):
    """A network of a space, in float64, with weights that are nothing special."""
    program = driver.load(file).program
    genotype = sample(small(program, name), random.Random(seed))
    network = small(program, name, genotype).target
    net = Discrete(network, aux=network.aux is not None, seed=seed).double()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=draw, dtype=p.dtype))
    return net


def under(net, name):
    """A copy of a network under a profile."""
    other = copy.deepcopy(net)
    other.profile = profile(name)
    return other


def step(net, x, probability):
    """Logits and gradients of a step of training."""
    for p in net.parameters():
        p.grad = None
    like = x if x.is_floating_point() else torch.zeros(len(x), 1, dtype=torch.float64)
    keep = net.drop_path_masks(len(x), probability, torch.Generator().manual_seed(2), like)
    torch.manual_seed(3)
    logits, aux = net.train_step(x, keep)
    loss = logits.square().mean() + (0 if aux is None else 0.4 * aux.square().mean())
    loss.backward()
    zeros = {n: torch.zeros_like(p) for n, p in net.named_parameters()}
    grads = {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    return logits.detach(), zeros | grads


def apart(found, wanted):
    """How far logits and gradients are from others, relative to the largest."""
    (out, grads), (out2, grads2) = wanted, found
    largest = max(float(g.abs().max()) for g in grads.values())
    worst = max(float((grads2[n] - g).abs().max()) for n, g in grads.items())
    return max(worst / largest, float((out2 - out).abs().max() / out.abs().max()))


def bound(net, x):
    """What may be apart: 1e-10, or as much as ten roundings of the input move."""
    if not x.is_floating_point():
        return 1e-10
    draw = torch.Generator().manual_seed(4)
    nudge = 1 + 2**-53 * torch.randn(x.shape, generator=draw, dtype=x.dtype)
    one, other = (copy.deepcopy(net).train() for _ in range(2))
    return max(1e-10, 10 * apart(step(other, x * nudge, 0.0), step(one, x, 0.0)))


def assert_same(net, made, x, steps=2):
    most = bound(net, x)
    assert most < 1e-7
    for number in range(steps):
        net.train()
        made.train()
        probability = 0.3 * number  # nothing is dropped at first
        assert apart(step(made, x, probability), step(net, x, probability)) <= most
    for (n, a), (_, b) in zip(net.named_buffers(), made.named_buffers(), strict=True):
        assert torch.allclose(b.double(), a.double(), rtol=1e-9, atol=1e-11), n
    net.eval()
    made.eval()
    found = []
    for one in (net, made):
        torch.manual_seed(5)  # for spaces with noise
        with torch.no_grad():
            found.append(one(x))
    assert float((found[1] - found[0]).abs().max()) <= most * float(found[0].abs().max())


#: Planned longer than the others.
LONG = (
    *("ofa_mobilenet_v3", "nats_size", "gpt_small", "mobile_small", "nasbench_macro", "vit_tiny"),
    *("no_skip", "deep_no_skip", "deep_all_skip", "wide_all_skip", "sized", "robust_s3"),
)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        pytest.param(file, name, id=name, marks=pytest.mark.slow if name in LONG else ())
        for file, name in EVERY
    ],
)
def test_balanced_networks_of_every_space(file, name):
    net = drawn(file, name)
    x = batch(net.inp)
    assert_same(net, under(net, "balanced"), x.double() if x.is_floating_point() else x)


@pytest.mark.parametrize("name", FUSED)
def test_every_profile(name):
    net = drawn("darts.nas", "darts", seed=4)
    assert_same(net, under(net, name), batch(net.inp).double())


@needs_compiler
def test_cells_without_drop_path_are_calls():
    net = under(drawn("nasbench201.nas", "nasbench201", seed=1), "balanced")
    plain = [n for n in net.planned("plain").graph.nodes if n.op == "call_module"]
    assert len(plain) < 20 < len([n for n in net.plain.graph.nodes if n.op == "call_module"])


def test_a_copy_runs_over_weights_of_its_own():
    net = under(drawn("nasbench201.nas", "nasbench201"), "balanced").eval()
    x = batch(net.inp).double()
    before = net(x)
    other = copy.deepcopy(net)
    with torch.no_grad():
        for p in other.parameters():
            p.zero_()
    assert not torch.equal(other(x), before)
    assert torch.equal(net(x), before)
