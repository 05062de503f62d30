"""Every profile computes what the reference does, in float64."""

import copy

import pytest
import torch
from equality import agree, example, run, twins
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_spaces import random_text
from small_networks import SPACES, small
from spaces_for_tests import space_of

from nasdsl.codegen.emit import NotExecutable
from nasdsl.codegen.supernet import check_dense, check_executable
from nasdsl.fusion.profile import PROFILES

#: Spaces that look like no other one of the list; the rest is checked with the slow tests.
DISTINCT = {
    "darts", "darts_imagenet", "all_skip", "robust_s1", "robust_s4", "nasbench201", "nasbench101",
    "nats_size", "tnb101_segment", "mobile_small", "nasbench_macro", "nb1shot1_s1", "one_edge",
    "conv1d", "tabular", "vit_mini",
}  # fmt: skip
NAMES = [n if n in DISTINCT else pytest.param(n, marks=pytest.mark.slow) for n in sorted(SPACES)]
FUSED = [name for name in PROFILES if name != "reference"]


@pytest.mark.parametrize("profile", FUSED)
@given(seed=st.integers(0, 10**6), batch=st.integers(2, 5))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_cells(profile, seed, batch):
    space = space_of(random_text(seed), "s")
    reference, net = twins(space, profile)
    x, mix, _ = example(reference, seed, batch)
    agree(run(reference, x, mix), run(net, x, mix))
    reference.eval(), net.eval()
    agree(run(reference, x, mix), run(net, x, mix))


@pytest.mark.parametrize("name", NAMES)
def test_bundled_spaces(name):
    space = small(name)
    for mode in ("dense", "one_path"):
        try:
            check_executable(space, one_hot=mode == "one_path")
            if mode == "dense":
                check_dense(space)
        except NotExecutable:
            continue
        reference, _ = twins(space, "reference", mode=mode)
        nets = [copy.deepcopy(reference).under(profile) for profile in FUSED]
        x, mix, pick = example(reference, 3)
        wanted = run(reference, x, mix, pick)
        for net in nets:
            agree(wanted, run(net, x, mix, pick))
        reference.eval()
        wanted = run(reference, x, mix, pick, steps=1)
        for net in nets:
            agree(wanted, run(net.eval(), x, mix, pick, steps=1))


@pytest.mark.parametrize("profile", FUSED)
def test_drop_path(profile):
    reference, net = twins(small("darts"), profile, drop_path=True)
    x, mix, _ = example(reference)
    draw = torch.Generator().manual_seed(0)
    keep = (torch.rand(len(net.droppable), 4, generator=draw) < 0.7).double() / 0.7
    agree(run(reference, x, mix, keep=keep), run(net, x, mix, keep=keep))


@pytest.mark.parametrize("profile", FUSED)
def test_a_mix_of_an_instance_alone(profile):
    reference, net = twins(small("darts"), profile)
    x, mix, _ = example(reference)
    instance = reference.slots[0].instance
    mix[instance] = mix[reference.slots[0].table].flip(0)
    agree(run(reference, x, mix), run(net, x, mix))


@pytest.mark.parametrize("profile", FUSED)
def test_other_weights_stand_in(profile):
    """`functional_call`, as second-order steps use it, reaches what a profile reads."""
    reference, net = twins(small("darts"), profile)
    x, mix, _ = example(reference)
    draw = torch.Generator().manual_seed(5)
    found = []
    for each in (reference, net):
        other = {
            n: (p + torch.randn(p.shape, generator=draw.manual_seed(5), dtype=p.dtype)).detach()
            for n, p in each.named_parameters()
        }
        other = {n: p.requires_grad_() for n, p in other.items()}
        out = torch.func.functional_call(each, other, (x, mix))
        found.append((out, torch.autograd.grad(out.square().sum(), list(other.values()))))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-10, atol=1e-10)
    scale = max(g.abs().max() for g in found[0][1])
    for a, b in zip(found[0][1], found[1][1], strict=True):
        assert (a - b).abs().max() < 1e-10 * scale


@pytest.mark.parametrize("profile", FUSED)
def test_gradients_of_gradients(profile):
    reference, net = twins(small("darts"), profile)
    x, mix, _ = example(reference)
    found = []
    for each in (reference, net):
        weights = [p for p in each.parameters() if p.dim() > 1]
        own = {k: v.clone().requires_grad_() for k, v in mix.items()}
        loss = each(x, own).square().mean()
        first = torch.autograd.grad(loss, weights, create_graph=True)
        length = sum(g.square().sum() for g in first)
        found.append(torch.autograd.grad(length, [*own.values(), *weights]))
    scale = max(g.abs().max() for g in found[0])
    for a, b in zip(*found, strict=True):
        assert (a - b).abs().max() < 1e-9 * scale


@pytest.mark.parametrize("profile", FUSED)
def test_two_forwards_and_a_kept_graph(profile):
    """Nothing is kept in one place for all passes: backward in any order, and twice."""
    reference, net = twins(small("darts"), profile)
    x, mix, _ = example(reference)
    found = []
    for each in (reference, net):
        weights = list(each.parameters())
        a = each(x, mix).square().sum()
        b = each(x.flip(0) * 0.5, mix).square().sum()
        first = torch.autograd.grad(a, weights, retain_graph=True)
        second = torch.autograd.grad(b, weights)
        again = torch.autograd.grad(a, weights)
        for p, q in zip(first, again, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)
        found.append((*first, *second))
    scale = max(g.abs().max() for g in found[0])
    for a, b in zip(*found, strict=True):
        assert (a - b).abs().max() < 1e-10 * scale


@pytest.mark.parametrize("profile", FUSED)
def test_only_alphas_or_only_weights(profile):
    reference, net = twins(small("darts"), profile)
    x, mix, _ = example(reference)
    for frozen in ("weights", "mix"):
        found = []
        for each in (reference, net):
            each.requires_grad_(frozen != "weights")
            own = {k: v.clone().requires_grad_(frozen != "mix") for k, v in mix.items()}
            inputs = list(own.values()) if frozen == "weights" else list(each.parameters())
            found.append(torch.autograd.grad(each(x, own).square().sum(), inputs))
        scale = max(g.abs().max() for g in found[0])
        for a, b in zip(*found, strict=True):
            assert (a - b).abs().max() < 1e-10 * scale


@pytest.mark.parametrize("profile", FUSED)
def test_a_copy_has_modules_of_its_own(profile):
    _, net = twins(small("darts"), profile)
    x, mix, _ = example(net)
    net(x, mix)
    other = copy.deepcopy(net)
    before = run(net, x, mix)
    with torch.no_grad():
        for p in other.parameters():
            p.zero_()
    after = run(net, x, mix)
    torch.testing.assert_close(before[0], after[0], rtol=1e-9, atol=1e-9)
    assert other(x, mix).abs().max() < 1e-12


@pytest.mark.parametrize("profile", FUSED)
def test_a_checkpoint_of_one_profile_is_read_by_another(profile):
    reference, net = twins(small("darts"), profile)
    x, mix, _ = example(net)
    run(net, x, mix)
    reference.load_state_dict(net.state_dict())
    agree(run(reference, x, mix), run(net, x, mix))
    reference.eval(), net.eval()
    agree(run(reference, x, mix), run(net, x, mix))
