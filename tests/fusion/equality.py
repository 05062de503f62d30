"""Whether two supernets over the same weights compute the same: outputs, gradients, statistics."""

import copy
import sys
from pathlib import Path

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent.parent / "codegen"))

from nasdsl.codegen.supernet import Supernet  # noqa: E402

STEPS = 3


def example(net, seed=0, batch=4):
    """A batch for a supernet, a mix that is no special one, and picks."""
    draw = torch.Generator().manual_seed(seed)
    inp, out = net.space.supernet.inp, net.space.supernet.out
    if inp.kind == "tokens":
        x = torch.randint(0, 2, (batch, *inp.dims), generator=draw)
    else:
        x = torch.randn(batch, *inp.dims, generator=draw, dtype=torch.float64)
    mix, pick = {}, {}
    for name, table in net.tables.items():
        pick[name] = [int(torch.randint(w, (), generator=draw)) for w in table.widths]
        if net.mode == "one_path":
            values = torch.zeros(table.shape, dtype=torch.float64)
            values[range(len(pick[name])), pick[name]] = 1
        else:
            values = torch.rand(table.shape, generator=draw, dtype=torch.float64) + 0.1
            for i, width in enumerate(table.widths):
                values[i, width:] = 0
            values = values / values.sum(1, keepdim=True)
        mix[name] = values
    del out
    return x, mix, pick if net.mode == "one_path" else None


def run(net, x, mix, pick=None, keep=None, steps=STEPS):
    """Output, gradients by name after a few passes, and state."""
    torch.manual_seed(7)
    mix = {k: v.clone().requires_grad_() for k, v in mix.items()}
    for step in range(steps):
        x_now = x if not x.is_floating_point() else x + 0.1 * step
        out = net(x_now, mix, pick, keep)
        # A loss in which every output counts.
        weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
        loss = (out * weights).sum() + F.softplus(out).mean()
        wanted = {**dict(net.named_parameters()), **{f"mix:{k}": v for k, v in mix.items()}}
        found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    gradients = dict(zip(wanted, found, strict=True))
    return out.detach(), gradients, {k: v.clone() for k, v in net.state_dict().items()}


def agree(reference, other, tolerance=1e-10):
    """Fail unless two results of `run` are the same to a tolerance, in the scale of each kind."""
    (out, gradients, state), (out_, gradients_, state_) = reference, other
    assert _far(out, out_) < tolerance
    assert list(gradients) == list(gradients_)
    largest = max((g.abs().max().item() for g in gradients.values() if g is not None), default=1)
    for name, wanted in gradients.items():
        found = gradients_[name]
        assert (wanted is None) == (found is None), name
        if wanted is not None and found is not None:
            assert wanted.shape == found.shape, name
            assert (wanted - found).abs().max().item() < tolerance * max(1.0, largest), name
    assert list(state) == list(state_)
    for name, wanted in state.items():
        assert wanted.dtype == state_[name].dtype, name
        assert _far(wanted.double(), state_[name].double()) < tolerance, name


def _far(a, b):
    assert a.shape == b.shape
    if not a.numel():
        return 0.0
    return ((a - b).abs().max() / a.abs().max().clamp(min=1)).item()


def twins(space, profile, **options):
    """The same fresh supernet under the reference profile and under another, in float64."""
    made = []
    for name in ("reference", profile):
        net = Supernet(space, profile=name, **options).double().train()
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for p in net.parameters():
                p.add_(torch.randn(p.shape, generator=draw, dtype=p.dtype) * 0.1)
        made.append(net)
    return made


def copied(net):
    """A supernet with modules of its own."""
    return copy.deepcopy(net)
