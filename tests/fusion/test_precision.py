"""In float32 no profile is less exact than the reference, measured against float64."""

import copy
import statistics

import pytest
import torch
from equality import example
from small_networks import small
from spaces_for_tests import space_of
from torch import nn
from torch.nn import functional as F

from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.profile import PROFILES
from nasdsl.kernels.toolchain import Missing, toolchain
from nasdsl.passes.prune import prune

FUSED = [name for name in PROFILES if name != "reference"]
QUICK = ("nasbench201",)
SPACES = ("darts", "nasbench201", "nb1shot1_s1", "robust_s1", "robust_s4")
SEEDS = 7


def drawn(net, seed):
    """Weights drawn anew, numbers of float32 in either precision."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            spread = 0.3 if p.dim() == 1 else p[0].numel() ** -0.5
            middle = float(p.dim() == 1)
            p.copy_(torch.randn(p.shape, generator=draw) * spread + middle)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.reset_running_stats()


def results(net, x, mix):
    """The output, and the gradients of the mix and of the weights, each as one vector."""
    mix = {k: v.clone().requires_grad_() for k, v in mix.items()}
    out = net(x, mix)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    loss = (out * weights).sum() + F.softplus(out).mean()
    parts = ([out], list(mix.values()), list(net.parameters()))
    found = [out.detach().flatten()]
    for part in parts[1:]:
        grads = torch.autograd.grad(loss, part, retain_graph=True, allow_unused=True)
        found.append(torch.cat([g.flatten() for g in grads if g is not None]))
    return [v.double() for v in found]


def space(name):
    """Reduced; without noise, which draws other numbers in another precision."""
    made = small(name)
    kept = {d.id: tuple(x for x in d.labels if x != "noise") for d in made.decisions}
    return prune(made, kept) if name == "robust_s4" else made


def medians(name):
    """Errors of output, mix and weights by network: the middle of several draws.

    One rectifier or maximum that decides otherwise is worth more than all rounding, so sums over
    draws would tell nothing.
    """
    first = Supernet(space(name))
    exact = copy.deepcopy(first).double().train()
    nets = {p: copy.deepcopy(first).under(p).train() for p in PROFILES}
    nets["same layout"] = copy.deepcopy(first).to(memory_format=torch.channels_last).train()
    errors = {p: [] for p in nets}
    for seed in range(SEEDS):
        x, mix, _ = example(first, seed, batch=8)
        x, mix = x.float(), {k: v.float() for k, v in mix.items()}
        drawn(exact, seed)
        wanted = results(exact, x.double(), {k: v.double() for k, v in mix.items()})
        for net_name, net in nets.items():
            drawn(net, seed)
            layout = torch.contiguous_format
            if net_name == "same layout":
                layout = torch.channels_last
            found = results(net, x.contiguous(memory_format=layout), mix)
            errors[net_name].append(
                [float((a - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True)]
            )
    return {
        p: [statistics.median(kind) for kind in zip(*e, strict=True)] for p, e in errors.items()
    }


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SPACES]
)
def test_errors_are_those_of_the_reference(name):
    """At most half as large again as the reference's in the layout that profiles run in.

    The library is up to five times more exact in the plain layout; kernels of our own are compared
    with that as well.
    """
    errors = medians(name)
    for profile in FUSED:
        for k, what in enumerate(("output", "mix", "weights")):
            own, same = errors[profile][k], errors["same layout"][k]
            assert own <= 1.5 * same, (profile, what, own, same)
            if profile in ("balanced", "memory") and not isinstance(toolchain(), Missing):
                plain = errors["reference"][k]
                assert own <= 2.5 * plain, (profile, what, own, plain)


TEXT = """nas 1
ops few {
  thin = conv(1) >> bn(affine = false)
  wide = conv(3) >> bn(affine = true)
  mean = avg_pool(1) >> bn(affine = false)
  most = max_pool(3) >> bn(affine = false)
  deep = relu >> dwconv(3) >> conv(1) >> bn(affine = false)
}
space s {
  cell c {
    in a : avg_pool(1)
    node x[2]
    edge {a, x[<]} -> x : one_of few
    out concat(x[1], x[2])
  }
  width = 6
  input image(6, 16, 16)
  stage c
  head global_avg_pool >> linear(3)
}
"""


def variances(mean):
    """Relative errors by profile of the variances behind a mean so many deviations away.

    Of each batch-norm on an edge from the input, with how far its own mean is away; what comes
    behind those has inputs that differ.
    """
    first = Supernet(space_of(TEXT, "s"))
    draw = torch.Generator().manual_seed(0)
    for m in first.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = 1.0  # the running variance is that of the batch
        elif isinstance(m, nn.Conv2d):
            with torch.no_grad():  # of one sign mostly: means stay far away
                m.weight.copy_(torch.rand(m.weight.shape, generator=draw) - 0.25)
    x = torch.randn(8, 6, 16, 16, generator=draw) + mean
    mix = {n: torch.rand(t.shape, generator=draw) for n, t in first.tables.items()}
    exact = copy.deepcopy(first).double().train()
    exact(x.double(), {k: v.double() for k, v in mix.items()})
    found = {}
    for profile in PROFILES:
        net = copy.deepcopy(first).under(profile).train()
        net(x, mix)
        found[profile] = []
        for name, norm in exact.named_modules():
            if isinstance(norm, nn.BatchNorm2d) and "_a." in name:
                var = norm.running_var
                far = norm.running_mean.abs() / var.sqrt()
                own = net.get_submodule(name).running_var.double()
                found[profile] += zip(((own - var) / var).abs().tolist(), far.tolist(), strict=True)
    return found


@pytest.mark.parametrize("compiler", [True, False], ids=["compiler", "without"])
def test_variances_beside_a_mean_a_hundred_deviations_away(compiler, monkeypatch):
    if not compiler:
        monkeypatch.setenv("CXX", "no-such-compiler")
    for profile, errors in variances(100.0).items():
        assert sum(far > 90 for _, far in errors) > 10, profile
        assert max(error for error, _ in errors) < 1e-5, profile
