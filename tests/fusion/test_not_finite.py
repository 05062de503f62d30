"""Infinities and what is no number go through generated cells as they go through the reference.

Every kind of operation, at single places, in float64: there the reference multiplies a border of
zeros with what meets it, as the kernels do; in float32 the library skips borders. Activations and
gradients go through the kernels; weights, entries of a mix, and nothing else, send a call to the
reference graph, because borders and folded factors would multiply what it never multiplies.
"""

import copy
import math

import pytest
import torch
from generated_pairs import needs_compiler, pair
from spaces_for_tests import space_of
from torch.nn import functional as F

pytestmark = needs_compiler

KINDS = {
    "maximum": "max_pool(3, stride = stride)",
    "maximum_normed": "max_pool(3, stride = stride) >> bn",
    "mean": "avg_pool(3, stride = stride)",
    "mean_normed": "avg_pool(3, stride = stride) >> bn",
    "skip": "identity if stride == 1 else factorized_reduce",
    "pointwise": "relu >> conv(1, stride = stride) >> bn",
    "dense": "conv(3, stride = stride) >> bn(affine = true) >> relu",
    "biased": "relu >> conv(3, stride = stride, bias = true) >> bn",
    "separable": "relu >> dwconv(3, stride = stride) >> conv(1) >> bn >> relu >> dwconv(3) >> conv(1) >> bn",
    "dilated": "relu >> dwconv(5, stride = stride, dilation = 2) >> conv(1) >> bn",
    "deep": "dwconv(3, stride = stride) >> bn",
    "hswish": "hswish >> conv(1, stride = stride) >> bn",
    "leaky": "leaky_relu(0.1) >> conv(1, stride = stride) >> bn >> leaky_relu(0.1)",
    "gelu": "gelu >> conv(1, stride = stride) >> bn >> gelu",
    "silu": "silu >> conv(1, stride = stride) >> bn >> silu",
    "tanh": "tanh >> conv(1, stride = stride) >> bn >> tanh",
}
SPACE = """nas 1
ops few {{
  none
  one  = {kind}
  skip = identity if stride == 1 else factorized_reduce
}}
space s {{
  cell c {{
    in a : avg_pool(1)
    node x[2]
    edge {{a, x[<]}} -> x : one_of few
    out concat(x[1], x[2])
  }}
  width = 6
  input image(6, 7, 7)
  stage c
  head global_avg_pool >> linear(3)
}}
"""
VALUES = (math.nan, math.inf, -math.inf)
SIZE = 7


def region(kind, stride, recompute=False):
    """The call of a cell of one kind of operation, and the modules it reads."""
    text = SPACE.format(kind=KINDS[kind])
    text = text.replace("stage c\n", f"stage c {{ stride = {stride} }}\n")
    _, made, _ = pair(space_of(text, "s"), recompute=recompute)
    for node in made.graph.graph.nodes:
        if type(node.target).__name__ == "Generated":
            found = node.target
            return found, [made.graph.get_submodule(name) for name in found.region.owners]
    raise AssertionError("no region")


def results(call, found, owners, x, mix, gradient):
    """Outputs, every gradient and the statistics, by name, from modules of its own."""
    owners = [copy.deepcopy(m) for m in owners]
    tensors = {"x": x, "mix": mix}
    tensors = {k: v.detach().clone().requires_grad_() for k, v in tensors.items()}
    for name, module in zip(found.region.owners, owners, strict=True):
        tensors.update({f"{name}.{k}": p for k, p in module.named_parameters()})
    (out,) = call(owners, [tensors["x"]], [tensors["mix"]])
    g = torch.ones_like(out) + torch.linspace(-2, 2, out.numel(), dtype=out.dtype).view(out.shape)
    if gradient is not None:
        g[1, 2, 1, 1] = gradient
    grads = torch.autograd.grad(out, list(tensors.values()), g, allow_unused=True)
    made = {"out": out.detach(), **dict(zip(tensors, grads, strict=True))}
    for name, module in zip(found.region.owners, owners, strict=True):
        made.update({f"{name}.{k}": b for k, b in module.named_buffers()})
    return made


def same(found, owners, x, mix, gradient=None):
    """Fails unless what is finite is equal, and what is not is the same kind of not finite."""
    wanted = results(found.reference, found, owners, x, mix, gradient)
    got = results(found, found, owners, x, mix, gradient)
    for name, a in wanted.items():
        b = got[name]
        a = torch.zeros_like(b) if a is None and b is not None else a
        b = torch.zeros_like(a) if b is None and a is not None else b
        if a is None or not a.is_floating_point():
            continue
        assert torch.equal(a.isfinite(), b.isfinite()), name
        # Statistics of the batch spread an infinite gradient over a channel: infinities that are
        # subtracted there cancel in the order of the sums.
        if name == "out" or "running" in name or not owners[0].training:
            for kind in (torch.isnan, torch.isposinf, torch.isneginf):
                assert torch.equal(kind(a), kind(b)), (name, kind.__name__)
        a, b = (t[t.isfinite()] for t in (a, b))
        assert not a.numel() or (a - b).abs().max() <= 1e-9 * max(1, a.abs().max()), name
    return wanted


def given(found):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, SIZE, SIZE, generator=draw, dtype=torch.float64)
    return x, torch.rand(3, 3, generator=draw, dtype=torch.float64) + 0.1


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_activations_and_gradients(kind, stride, training):
    found, owners = region(kind, stride)
    for module in owners:
        module.train(training)
    x, mix = given(found)
    for value in VALUES:
        # Not among the last numbers of a tensor: behind its vectors torch's derivative of hswish
        # takes no number for a large one.
        for place in ((0, 1, 0, 0), (1, 0, 3, 4), (2, 4, 6, 2)):
            wrong = x.clone()
            wrong[place] = value
            made = same(found, owners, wrong, mix)
            # A maximum and a rectifier end minus infinity, a stride passes by.
            assert not math.isnan(value) or place[2] % 2 or made["out"].isnan().any()
        made = same(found, owners, x, mix, gradient=value)
        assert not made["x"].isfinite().all()
        wrong[0, 1] = value  # whole windows
        same(found, owners, wrong, mix, gradient=value)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind", ["maximum_normed", "dense", "biased", "separable", "dilated"])
def test_weights_and_mixes(kind, training):
    found, owners = region(kind, 1)
    for module in owners:
        module.train(training)
    x, mix = given(found)
    for value in VALUES:
        wrong = mix.clone()
        wrong[0, 1] = value
        same(found, owners, x, wrong)
        for module in owners:
            for parameter in module.parameters():
                flat = parameter.detach().flatten()
                for k in {0, len(flat) // 2}:
                    was = flat[k].item()
                    parameter.data.view(-1)[k] = value
                    same(found, owners, x, mix)
                    parameter.data.view(-1)[k] = was


def test_weights_of_zero_meet_infinities():
    """Zero times infinity is no number, whoever of the two is the weight."""
    found, owners = region("separable", 1)
    for module in owners:
        module.eval()
    x, mix = given(found)
    x[1, 2, 3, 3] = math.inf
    mix[0] = 0
    assert same(found, owners, x, mix)["out"].isnan().any()
    with torch.no_grad():
        for module in owners:
            for p in module.parameters():
                p.zero_()
    assert same(found, owners, x, mix)["out"].isnan().any()


@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_running_statistics(name):
    found, owners = region("separable", 1)
    x, mix = given(found)
    for module in owners:
        module.eval()
    for value in (*VALUES, -1.0):
        for path, which in found.region.buffers:
            if which == name:
                first, _, rest = path.partition(".")
                buffer = getattr(owners[found.region.owners.index(first)].get_submodule(rest), name)
                was = buffer.clone()
                buffer[1] = value
                same(found, owners, x, mix)
                buffer.copy_(was)


def test_a_call_that_falls_back_may_nest_and_be_differentiated():
    """Nothing kept, two derivatives, the statistics moved once, under `memory` too."""
    for recompute in (False, True):
        found, owners = region("dense", 1, recompute)
        x, mix = given(found)
        mix[0, 1] = math.inf
        same(found, owners, x, mix)
        count = [b for m in owners for n, b in m.named_buffers() if n.endswith("tracked")]
        x.requires_grad_()
        (out,) = found(owners, [x], [mix])
        assert all(int(c) == 1 for c in count)
        (g,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        (h,) = torch.autograd.grad(g.sum(), x, allow_unused=True, materialize_grads=True)
        assert h.shape == x.shape
        assert all(int(c) == 1 for c in count)


def test_ties_and_windows_of_infinities():
    """The first of equal values has the gradient, also where all of a window is minus infinity."""
    found, owners = region("maximum", 1)
    x, mix = given(found)
    x = x.sign()
    same(found, owners, x, mix)
    for value in (-math.inf, math.inf):
        x[0] = value
        x[1, :, :4] = value
        same(found, owners, x, mix)


def test_zeros_beside_a_mix_are_left_out_by_every_profile():
    """`none` is emitted nowhere: its weight may be anything, the rest of the mix counts."""
    found, owners = region("mean", 1)
    x, mix = given(found)
    wanted = results(found.reference, found, owners, x, mix, None)["out"]
    mix[:, 0] = math.nan
    assert torch.equal(results(found.reference, found, owners, x, mix, None)["out"], wanted)
    torch.testing.assert_close(results(found, found, owners, x, mix, None)["out"], wanted)


def test_a_whole_network_learns_nothing_from_no_number():
    """The loss is no number, and no gradient hides it."""
    plain, made, _ = pair(space_of(SPACE.format(kind=KINDS["separable"]), "s"))
    x = torch.randn(2, 6, SIZE, SIZE, dtype=torch.float64)
    x[0, 0, 0, 0] = math.nan
    for net in (plain, made):
        mix = {n: torch.rand(t.shape, dtype=torch.float64) for n, t in net.tables.items()}
        loss = F.cross_entropy(net(x, mix), torch.tensor([0, 1]))
        assert loss.isnan()
