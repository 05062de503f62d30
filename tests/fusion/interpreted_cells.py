"""Cells by Triton's interpreter, against the reference graph: run by `test_device_cells.py`.

The interpreter has to be chosen before Triton is imported, so these are tests of a process of its
own: `TRITON_INTERPRET=1 pytest tests/fusion/interpreted_cells.py`.
"""

import copy
import os

import pytest
import torch
from generated_pairs import assert_same, batch, mixes, pair, step
from spaces_for_tests import bundled_space, images, space_of
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from nasdsl.fusion.device.job import TritonKernels
from nasdsl.fusion.device.layout import layout
from nasdsl.fusion.device.tables import orders
from nasdsl.fusion.generated.region import ACTS
from nasdsl.passes.partial import partial

EMITTERS = (TritonKernels(device="cpu"),)

OPS = {
    "none": None,
    "dense": "conv(3, stride = stride) >> bn",
    "biased": "conv(1, stride = stride, bias = true) >> bn",
    "deep": "relu >> dwconv(3, stride = stride, bias = true) >> bn(affine = true)",
    "sep": "relu >> dwconv(3, stride = stride) >> conv(1) >> bn(affine = true)",
    "dil": "relu >> dwconv(5, stride = stride, dilation = 2) >> conv(1) >> bn",
    "sep7": "relu >> dwconv(7, stride = stride) >> conv(1) >> bn",
    "most": "max_pool(3, stride = stride)",
    "mean": "avg_pool(3, stride = stride) >> bn",
    "same": "identity",
    "skip": "identity if stride == 1 else factorized_reduce",
    "silent": "conv(1, stride = stride) >> bn >> silu",
}


def test_the_interpreter_runs():
    assert os.environ.get("TRITON_INTERPRET") == "1"


def small(*ops, stride=1, width=3, size=(5, 4), aligned=True):
    """One cell with one node and one or two edges that choose among some operations."""
    lines = "\n".join(f"  {k}" if OPS[k] is None else f"  {k} = {OPS[k]}" for k in ops)
    text = f"""nas 1
ops few {{
{lines}
}}
op align = relu >> conv(1) >> bn
space s {{
  cell one {{
    in a{" : align" if aligned else ""}
    node x[1]
    edge a -> x[1] : one_of few
    out x[1]
  }}
  width = {width}
  input image(3, {size[0]}, {size[1]})
  stem conv(1, out = 4) >> bn
  stage one {{ stride = {stride} }}
  head global_avg_pool >> linear(10)
}}
"""
    return space_of(text, "s")


CELL = """nas 1
from "darts.nas" import darts8
op pre = relu >> conv(1) >> bn
space s {{
  cell normal {{
    in prev2 : pre, prev : pre
    node x[{nodes}]
    edge {{prev2, prev, x[<]}} -> x : one_of darts8
    out concat(x)
  }}
  cell reduce extends normal {{
    stride = 2
    width  = 2 * width
  }}
  width = {width}
  input image(3, {height}, {across})
  stem conv(3, out = 4) >> bn
  stage {kind}
  head global_avg_pool >> linear(10)
}}
"""


def cell(kind, *, nodes, width, height, across):
    text = CELL.format(kind=kind, nodes=nodes, width=width, height=height, across=across)
    return space_of(text, "s")


def device(space, dtype=torch.float64, **options):
    plain, made, result = pair(space, dtype, emitters=EMITTERS, **options)
    assert result.regions
    return plain, made


# ---- values, gradients, statistics


def test_a_normal_cell_of_darts():
    plain, made = device(cell("normal", nodes=2, width=2, height=5, across=4))
    assert_same(plain, made, n=2)


def test_a_reduction_cell_of_odd_size_and_channels():
    plain, made = device(cell("reduce", nodes=1, width=3, height=5, across=7))
    assert_same(plain, made, n=2)


def test_cells_of_nasbench201():
    space = bundled_space("nasbench201.nas", "nasbench201", C=3, n=1, data=images(size=8))
    plain, made = device(space)
    assert_same(plain, made, n=2)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "ops",
    [("dense", "biased"), ("deep", "most"), ("sep7", "dil"), ("skip", "silent")],
    ids="_".join,
)
def test_operations(ops, stride):
    plain, made = device(small(*ops, stride=stride, width=4 if "skip" in ops else 3, size=(5, 6)))
    assert_same(plain, made, n=2)


def test_a_state_twice_in_a_sum():
    plain, made = device(small("same", "skip", "biased", width=4))
    assert_same(plain, made, n=2)


def test_channels_in_another_order():
    # Found as one order, not channel by channel.
    space = partial(small("most", "biased", width=16), 4)
    plain, made, result = pair(space, emitters=EMITTERS)
    found = [layout(r, [(5, 4)] * len(r.inputs)) for r in result.regions]
    assert any(orders(one) for one in found)
    assert_same(plain, made, n=2)


def test_the_mean_of_all_batches_goes_through_the_reference():
    # How many there were would have to be read back from the device.
    plain, made = device(small("mean", "biased"))
    for net in (plain, made):
        for module in net.modules():
            if hasattr(module, "momentum"):
                module.momentum = None
    assert_same(plain, made, n=2, steps=2)


def test_more_positions_and_channels_than_a_tile():
    plain, made = device(small("sep", "most", width=35, size=(9, 8)))
    assert_same(plain, made, n=3, steps=2)


def test_part_of_the_channels():
    plain, made = device(partial(small("most", "sep", width=8), 4))
    assert_same(plain, made, n=2)


@pytest.mark.parametrize("act", sorted(ACTS))
def test_activations(act):
    from nasdsl.kernels.device.head import read_head, sink_head

    functions = {
        "none": lambda u: u * 1,
        "relu": F.relu,
        "leaky_relu": lambda u: F.leaky_relu(u, 0.2),
        "hswish": F.hardswish,
        "silu": F.silu,
        "tanh": torch.tanh,
        "gelu": F.gelu,
    }
    u = torch.cat([torch.linspace(-7, 7, 37), torch.tensor([0.0, 1e-9, -1e-9])]).double()[:, None]
    u.requires_grad_()
    wanted = functions[act](u)
    g = torch.randn_like(u)
    (slope,) = torch.autograd.grad(wanted, u, g)
    x, value, back = u.detach(), torch.empty_like(u), torch.empty_like(u)
    how = {"NORMED": False, "ACT": ACTS[act], "SLOPE": 0.2, "BP": 64, "BC": 16}
    read_head[(1, 1)](x, 1, x, 0, value, len(x), 1, **how)
    sink_head[(1, 1)](g, x, 1, x, 0, back, x, len(x), 1, FIRST=True, **how)
    torch.testing.assert_close(value, wanted, rtol=1e-12, atol=0)
    torch.testing.assert_close(back, slope, rtol=1e-10, atol=1e-15)


def test_evaluation_mode_of_all_and_of_some():
    plain, made = device(small("sep", "mean"))
    assert_same(plain, made, n=2)
    for net in (plain, made):
        for name, module in net.named_modules():
            if "sep" in name:
                module.eval()
    assert_same(plain, made, n=2)
    plain.eval()
    made.eval()
    assert_same(plain, made, n=2)


def test_nothing_kept_between_forward_and_backward():
    plain, made = device(small("sep", "most"), recompute=True)
    assert_same(plain, made, n=2, steps=2)
    mix = mixes(made)
    loss = made(batch(made, 2), mix).square().sum()
    once = torch.autograd.grad(loss, [*mix.values()], retain_graph=True)
    again = torch.autograd.grad(loss, [*mix.values()])
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_statistics_far_from_zero():
    """A mean a hundred deviations away costs no accuracy in float32."""
    plain, made = device(small("mean", "biased", width=4, aligned=False), torch.float32)
    for net in (plain, made):
        with torch.no_grad():
            net.get_submodule("graph.stem.bn").bias.fill_(100)
    x = batch(plain, 8, dtype=torch.float32)
    found = []
    hook = plain.get_submodule("graph.stem.bn").register_forward_hook(
        lambda _, __, out: found.append(out.detach().double())
    )
    plain(x, mixes(plain, dtype=torch.float32))
    hook.remove()
    made(x, mixes(made, dtype=torch.float32))
    exact = F.avg_pool2d(found[0], 3, 1, 1, count_include_pad=False)
    exact = exact.transpose(0, 1).flatten(1).var(1)
    name = next(k for k, _ in made.named_buffers() if "mean.bn.running_var" in k)
    variance = (made.get_buffer(name).double() - 0.9) / 0.1
    assert ((variance - exact) / exact).abs().max() < 1e-4


# ---- what is asked for, and again


@pytest.mark.parametrize("asked", ["mix", "depthwise", "scales", "input"])
def test_only_what_is_asked_for(asked):
    plain, made = device(small("sep", "most"))
    found = []
    for net in (plain, made):
        mix, x = mixes(net), batch(net, 2).requires_grad_(asked == "input")
        for w in mix.values():
            w.requires_grad_(asked == "mix")
        for name, p in net.named_parameters():
            p.requires_grad_(
                (asked == "depthwise" and "dwconv" in name)
                or (asked == "scales" and "sep.bn" in name)
            )
        F.cross_entropy(net(x, mix), torch.arange(2)).backward()
        tensors = {"x": x, **mix, **dict(net.named_parameters())}
        found.append({k: t.grad for k, t in tensors.items()})
    one, two = found
    assert any(g is not None and g.any() for g in one.values())
    for name, g in one.items():
        assert (g is None) == (two[name] is None), name
        if g is not None:
            assert torch.allclose(g, two[name], rtol=1e-8, atol=1e-12), name


def test_a_graph_gone_through_twice_and_differentiated():
    plain, made = device(small("sep", "mean", size=(4, 4)))
    found = []
    for net in (plain, made):
        mix = mixes(net)
        loss = net(batch(net, 2), mix).square().sum()
        weights = [*mix.values(), *net.parameters()]
        once = torch.autograd.grad(loss, weights, retain_graph=True)
        again = torch.autograd.grad(loss, weights, retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
        moved = {k: b.clone() for k, b in net.named_buffers()}
        first = torch.autograd.grad(loss, weights, create_graph=True)
        total = sum(g.square().sum() for g in first)
        found.append(torch.autograd.grad(total, weights, allow_unused=True))
        assert all(torch.equal(b, moved[k]) for k, b in net.named_buffers())
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert torch.allclose(a, b, rtol=1e-7, atol=1e-10)


def test_two_forwards_before_a_backward():
    plain, made = device(small("sep", "most"))
    mix = mixes(plain)
    found = []
    for net in (plain, made):
        one, two = net(batch(net, 2, seed=1), mix), net(batch(net, 3, seed=2), mix)
        loss = one.square().sum() + two.tanh().sum()
        found.append(torch.autograd.grad(loss, [*mix.values(), *net.parameters()]))
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-11)


def test_results_do_not_vary_from_run_to_run():
    _, made = device(small("sep", "mean", width=6), torch.float32)
    x, mix = batch(made, 2, dtype=torch.float32), mixes(made, dtype=torch.float32)
    first = step(copy.deepcopy(made), x, mix)
    second = step(copy.deepcopy(made), x, mix)
    assert torch.equal(first[0], second[0])
    for name, g in first[1].items():
        assert g is None or torch.equal(g, second[1][name]), name


@pytest.mark.parametrize("value", [float("nan"), -float("inf")])
def test_what_is_no_number_passes(value):
    plain, made = device(small("sep", "most"))
    x, mix = batch(plain, 2), mixes(plain)
    x[0, 0, 2, 3] = value
    out, grads = step(plain, x, mix)
    out2, grads2 = step(made, x, mix)
    assert torch.equal(out.isnan(), out2.isnan())
    for name, g in grads.items():
        assert torch.equal(g.isnan(), grads2[name].isnan()), name


class _Unread(TorchDispatchMode):
    """Fails where the host asks for a number of a tensor, which waits for the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.name() not in ("aten::_local_scalar_dense", "aten::nonzero"), func
        return func(*args, **(kwargs or {}))


def test_no_step_reads_a_number_back():
    _, made = device(small("sep", "most"))
    mix, x = mixes(made), batch(made, 2)
    made(x, mix).sum().backward()
    with _Unread():
        made(x, mix).sum().backward()
    with pytest.raises(AssertionError), _Unread():
        x.sum().item()
