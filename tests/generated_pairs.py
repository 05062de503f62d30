"""A supernet and the same with generated cells, compared by values and gradients."""

import copy

import pytest
import torch
from torch.nn import functional as F

from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.generated.generate import Options, generate
from nasdsl.kernels.toolchain import Missing, toolchain

compiler = toolchain()
needs_compiler = pytest.mark.skipif(
    isinstance(compiler, Missing), reason=getattr(compiler, "reason", "")
)


def pair(space, dtype=torch.float64, *, seed=0, **options):
    """A supernet, the same over other copies of its modules with generated calls, the result."""
    plain = Supernet(space, seed=seed).to(dtype)
    draw = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for p in plain.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=draw, dtype=p.dtype))
    made = copy.deepcopy(plain)
    result = generate(made.graph, options=Options(least=1, **options))
    made.graph = result.graph
    return plain, made, result


def mixes(net, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    mix = {}
    for name, table in net.tables.items():
        values = torch.rand(table.shape, generator=draw, dtype=torch.float64) + 0.1
        for i, width in enumerate(table.widths):
            values[i, width:] = 0
        mix[name] = (values / values.sum(1, keepdim=True)).to(dtype).requires_grad_(True)
    return mix


def batch(net, n=3, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    dims = net.space.supernet.inp.dims
    return torch.randn(n, *dims, generator=draw, dtype=torch.float64).to(dtype)


def step(net, x, mix):
    """Logits and every gradient of one step, by name."""
    for p in net.parameters():
        p.grad = None
    for w in mix.values():
        w.grad = None
    x = x.detach().clone().requires_grad_(True)
    torch.manual_seed(0)  # operations that draw draw the same
    out = net(x, mix)
    y = torch.arange(len(x)) % out.shape[1]
    F.cross_entropy(out, y).backward()
    found = {"input": x.grad}
    found.update({f"mix {k}": w.grad for k, w in mix.items()})
    found.update({k: p.grad for k, p in net.named_parameters()})
    return out.detach(), found


def assert_same(plain, made, *, steps=1, n=3, tolerance=1e-10, seed=0):
    """Logits, gradients and statistics agree in float64 after every step."""
    x, mix = batch(plain, n, seed), mixes(plain, seed)
    other = {k: w.detach().clone().requires_grad_(True) for k, w in mix.items()}
    for _ in range(steps):
        out, grads = step(plain, x, mix)
        out2, grads2 = step(made, x, other)
        assert (out - out2).abs().max() <= tolerance * out.abs().max()
        largest = max(g.abs().max() for g in grads.values() if g is not None)
        for name, g in grads.items():
            g2 = grads2[name]
            if g is None or g2 is None:
                # A weight that reaches nothing has no gradient in one of them, zero in the other.
                assert all(v is None or not v.any() for v in (g, g2)), name
                continue
            assert g.shape == g2.shape
            scale = max(g.abs().max(), 1e-3 * largest)
            assert (g - g2).abs().max() <= tolerance * scale, name
        buffers = dict(made.named_buffers())
        for name, b in plain.named_buffers():
            assert torch.allclose(b.double(), buffers[name].double(), rtol=1e-12, atol=1e-12), name
