"""Generated cells are exact: values, every gradient and running statistics, in float64."""

import copy

import pytest
import torch
from generated_pairs import assert_same, batch, mixes, needs_compiler, pair, step
from random_spaces import random_text
from small_networks import small
from spaces_for_tests import bundled_space, images, space_of
from torch.nn import functional as F

from nasdsl.fusion.generated.cover import is_zeros
from nasdsl.passes.prune import prune

pytestmark = needs_compiler


def darts(**parameters):
    return bundled_space(
        "darts.nas", "darts", **{"C": 4, "layers": 3, "data": images(), **parameters}
    )


@pytest.mark.parametrize("channels", [4, 6, 16])
@pytest.mark.parametrize("size", [8, 9])
def test_darts_cells(channels, size):
    plain, made, result = pair(darts(C=channels, data=images(size=size)))
    assert [r.name for r in result.regions][1:4] == ["normal_0", "reduce_1", "reduce_2"]
    assert_same(plain, made, steps=3)


@pytest.mark.parametrize("seed", range(40))
def test_random_cells(seed):
    plain, made, _ = pair(space_of(random_text(seed), "s"), seed=seed)
    assert_same(plain, made, steps=2, seed=seed)


def test_one_call_holds_a_cell():
    _, made, result = pair(darts())
    names = [n.target.__name__ for n in made.graph.graph.nodes if n.op == "call_function"]
    assert names.count("generated") == len(result.regions)
    left = [n.target for n in made.graph.graph.nodes if n.op == "call_module"]
    assert not any(str(t).startswith(("normal", "reduce")) for t in left)


def test_names_of_weights_are_those_of_the_reference():
    plain, made, _ = pair(darts())
    assert set(plain.state_dict()) == set(made.state_dict())
    made.load_state_dict(plain.state_dict())


def test_nothing_kept_between_forward_and_backward():
    plain, made, _ = pair(darts(), recompute=True)
    assert_same(plain, made, steps=3)


def test_every_operation_a_call_of_its_own():
    plain, made, result = pair(darts(), apart=True)
    assert all(len(r.code) <= 3 for r in result.regions)
    assert len(result.regions) > 100
    assert_same(plain, made, steps=3)


def test_evaluation_mode():
    plain, made, _ = pair(darts())
    assert_same(plain, made)
    plain.eval()
    made.eval()
    assert_same(plain, made, steps=2)


def test_a_mix_of_its_own_for_an_instance():
    plain, made, _ = pair(darts(layers=4))
    x, mix = batch(plain), mixes(plain)
    own = torch.rand(mix["normal"].shape, dtype=torch.float64)
    found = []
    for net in (plain, made):
        given = {k: w.detach().clone().requires_grad_(True) for k, w in mix.items()}
        given["normal_3"] = own.clone().requires_grad_(True)
        found.append(step(net, x, given))
    (out, grads), (out2, grads2) = found
    assert torch.allclose(out, out2, rtol=1e-11)
    assert grads["mix normal_3"].abs().max() > 0
    for name in ("mix normal", "mix normal_3", "mix reduce"):
        assert torch.allclose(grads[name], grads2[name], rtol=1e-9, atol=1e-13)


def test_two_forwards_before_a_backward():
    plain, made, _ = pair(darts())
    mix = mixes(plain)
    found = []
    for net in (plain, made):
        one, two = net(batch(net, seed=1), mix), net(batch(net, n=2, seed=2), mix)
        loss = one.square().sum() + two.tanh().sum()
        found.append(torch.autograd.grad(loss, [*mix.values(), *net.parameters()]))
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("recompute", [False, True])
def test_a_graph_gone_through_twice(recompute):
    _, made, _ = pair(darts(), recompute=recompute)
    mix = mixes(made)
    weights = [*mix.values(), *made.parameters()]
    loss = made(batch(made), mix).square().sum()
    once = torch.autograd.grad(loss, weights, retain_graph=True)
    again = torch.autograd.grad(loss, weights)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_results_do_not_vary_from_run_to_run():
    _, made, _ = pair(darts(C=16), torch.float32)
    x, mix = batch(made, 5, dtype=torch.float32), mixes(made, dtype=torch.float32)
    first = step(copy.deepcopy(made), x, mix)
    second = step(copy.deepcopy(made), x, mix)
    assert torch.equal(first[0], second[0])
    for name, g in first[1].items():
        assert g is None or torch.equal(g, second[1][name]), name


def test_gradients_of_gradients():
    plain, made, result = pair(darts(layers=1, C=2, data=images(size=6)))
    assert result.regions
    (mix,) = mixes(plain).values()
    found = []
    for net in (plain, made):
        before = {k: b.clone() for k, b in net.named_buffers()}
        loss = net(batch(net), {"reduce": mix}).square().sum()
        moved = {k: b.clone() for k, b in net.named_buffers()}
        weights = [*net.parameters()]
        first = torch.autograd.grad(loss, [mix, *weights], create_graph=True)
        total = sum(g.square().sum() for g in first)
        found.append(torch.autograd.grad(total, [mix, *weights], allow_unused=True))
        for name, b in net.named_buffers():
            assert torch.equal(b, moved[name])  # no second update of the statistics
            assert not name.endswith("running_var") or not torch.equal(b, before[name])
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert torch.allclose(a, b, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("asked", ["mix", "weights", "depthwise", "input"])
def test_only_what_is_asked_for(asked):
    plain, made, _ = pair(darts())
    found = []
    for net in (plain, made):
        mix = mixes(net)
        x = batch(net).requires_grad_(asked == "input")
        for w in mix.values():
            w.requires_grad_(asked == "mix")
        for name, p in net.named_parameters():
            chosen = asked == "weights" or (asked == "depthwise" and "dwconv" in name)
            p.requires_grad_(chosen)
        F.cross_entropy(net(x, mix), torch.arange(len(x))).backward()
        tensors = {"x": x, **mix, **dict(net.named_parameters())}
        found.append({k: t.grad for k, t in tensors.items()})
    one, two = found
    assert any(g is not None for g in one.values())
    for name, g in one.items():
        assert (g is None) == (two[name] is None), name
        if g is not None:
            assert torch.allclose(g, two[name], rtol=1e-8, atol=1e-12), name


def test_no_gradient_at_all():
    plain, made, _ = pair(darts())
    with torch.no_grad():
        mix = mixes(plain)
        assert torch.allclose(plain(batch(plain), mix), made(batch(made), mix), rtol=1e-11)


def test_weights_replaced_for_one_call():
    plain, made, _ = pair(darts())
    mix = mixes(plain)
    changed = {k: p.detach() * 1.5 for k, p in plain.named_parameters()}
    one = torch.func.functional_call(plain, changed, (batch(plain), mix))
    two = torch.func.functional_call(made, changed, (batch(made), mix))
    assert torch.allclose(one, two, rtol=1e-11)


def test_inputs_in_any_layout():
    _, made, _ = pair(darts())
    mix, x = mixes(made), batch(made)
    expected = made.eval()(x, mix)
    assert torch.equal(expected, made(x.contiguous(memory_format=torch.channels_last), mix))
    wide = torch.zeros(len(x), 3, x.shape[2], 2 * x.shape[3], dtype=x.dtype)
    wide[..., ::2] = x
    assert torch.equal(expected, made(wide[..., ::2], mix))


def test_weights_in_either_layout():
    plain, made, _ = pair(darts())
    made.to(memory_format=torch.channels_last)
    assert_same(plain, made)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_passes(value):
    plain, made, _ = pair(darts())
    x, mix = batch(plain), mixes(plain)
    x[0, 0, 2, 3] = value
    out, grads = step(plain, x, mix)
    out2, grads2 = step(made, x, mix)
    assert torch.equal(out.isnan(), out2.isnan())
    for name, g in grads.items():
        assert torch.equal(g.isnan(), grads2[name].isnan()), name


def test_no_number_in_a_gradient_passes():
    plain, made, _ = pair(darts())
    found = []
    for net in (plain, made):
        mix = mixes(net)
        out = net(batch(net), mix)
        g = torch.ones_like(out)
        g[1, 2] = float("nan")
        found.append(torch.autograd.grad(out, [*mix.values(), *net.parameters()], g))
    for a, b in zip(*found, strict=True):
        assert torch.equal(a.isnan(), b.isnan())


def test_ties_of_a_maximum():
    text = """nas 1
ops few {
  most = max_pool(3, stride = stride)
  skip = identity if stride == 1 else factorized_reduce
}
space s {
  cell one {
    in a
    node x[1]
    edge a -> x[1] : one_of few
    out x[1]
  }
  width = 4
  input image(4, 7, 7)
  stage one
  stage one { stride = 2 }
  head global_avg_pool >> linear(10)
}
"""
    plain, made, _ = pair(space_of(text, "s"))
    mix = mixes(plain)
    x = torch.randint(0, 2, (2, 4, 7, 7), generator=torch.Generator().manual_seed(0)).double()
    weight = torch.rand(2, 10, dtype=torch.float64)
    found = []
    for net in (plain, made):
        given = x.clone().requires_grad_(True)
        (net(given, mix) * weight).sum().backward()
        found.append(given.grad)
    assert torch.allclose(*found, rtol=1e-10, atol=1e-14)


def test_statistics_far_from_zero():
    """A mean a hundred deviations away costs no accuracy in float32."""
    text = """nas 1
ops few {
  thin = conv(1) >> bn
  mean = avg_pool(1) >> bn
}
space s {
  cell one {
    in a
    node x[1]
    edge a -> x[1] : one_of few
    out x[1]
  }
  width = 3
  input image(3, 16, 16)
  stage one
  head global_avg_pool >> linear(10)
}
"""
    plain, made, _ = pair(space_of(text, "s"), torch.float32)
    x = batch(plain, 8, dtype=torch.float32) + 100
    made(x, mixes(made, dtype=torch.float32))
    buffers = dict(made.named_buffers())
    found = next(k for k in buffers if "mean.bn.running_var" in k)
    exact = x.double().transpose(0, 1).flatten(1).var(1)
    variance = (buffers[found].double() - 0.9) / 0.1
    assert ((variance - exact) / exact).abs().max() < 1e-5


def test_float32_is_as_exact_as_the_reference():
    exact, _, _ = pair(darts(C=8))
    plain, made, _ = pair(darts(C=8), torch.float32)
    _, grads = step(exact, batch(exact), mixes(exact))
    errors = []
    for net in (plain, made):
        x, mix = batch(net, dtype=torch.float32), mixes(net, dtype=torch.float32)
        _, own = step(net, x, mix)
        total = sum((own[k].double() - g).square().sum() for k, g in grads.items() if g is not None)
        errors.append(float(total.sqrt()))
    assert errors[1] <= 1.5 * errors[0]


def test_hooks_go_through_the_reference():
    plain, made, _ = pair(darts())
    seen = []
    path = "graph.normal_0.x1_prev.sep_conv_3x3.conv"
    hook = made.get_submodule(path).register_forward_hook(lambda *_: seen.append(1))
    assert_same(plain, made)
    assert seen
    hook.remove()
    assert_same(plain, made)
    assert len(seen) == 1


def test_zeros_of_what_was_pruned_are_inside():
    space = small("nasbench201")
    plain, made, result = pair(prune(space, {space.decisions[0].id: ("none",)}))
    assert any(is_zeros(n) for n in plain.graph.graph.nodes)
    assert not any(is_zeros(n) for n in made.graph.graph.nodes)
    # What a cell makes of its input belongs to it, not to the one before.
    assert all(len(r.inputs) == len(r.outputs) == 1 for r in result.regions)
    assert_same(plain, made, steps=2)
