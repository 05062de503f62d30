"""One path: what is picked runs as chains that share, and every alpha has its gradient."""

import copy

import pytest
import torch
from equality import agree, example, run, twins
from small_networks import small
from torch import nn

from nasdsl.codegen.two import Two
from nasdsl.fusion.paths import Kernel, chain
from nasdsl.fusion.picked import PickedSum
from nasdsl.kernels.toolchain import Missing, toolchain
from nasdsl.oneshot.samplers.gumbel import gumbel_noise, gumbel_softmax
from nasdsl.oneshot.samplers.sample import each, picks, together

PROFILES = ["balanced", "memory", "launch"]


def test_tables_are_sampled_together_as_one_by_one():
    net, _ = twins(small("darts"), "reference")
    draw = torch.Generator()
    alphas = {n: torch.randn(t.shape, requires_grad=True) for n, t in net.tables.items()}
    assert len(alphas) == 2
    found = []
    for how in (each, together):
        draw.manual_seed(3)
        mix = how(alphas, net.tables, lambda a: gumbel_softmax(a, gumbel_noise(a, draw), 0.7, True))
        loss = sum((m * torch.arange(8.0)).sum() for m in mix.values())
        found.append((mix, picks(mix), torch.autograd.grad(loss, list(alphas.values()))))
    for name in alphas:
        torch.testing.assert_close(found[0][0][name], found[1][0][name], rtol=0, atol=0)
    assert found[0][1] == found[1][1]
    torch.testing.assert_close(found[0][2], found[1][2])


def test_alphas_that_have_diverged_pick_nothing():
    bad = torch.zeros(2, 3)
    bad[1, 2] = torch.nan
    with pytest.raises(ValueError, match="diverged"):
        picks({"a": torch.zeros(2, 3), "b": bad})
    assert picks({"a": torch.eye(2), "b": torch.eye(3)}) == {"a": [0, 1], "b": [0, 1, 2]}


@pytest.mark.parametrize("profile", PROFILES)
def test_two_operations_of_an_edge(profile):
    reference, net = twins(small("darts"), profile, mode="one_path")
    x, mix, pick = example(reference)
    for name, table in net.tables.items():
        pick[name] = [Two.of(p, (p + 3) % w) for p, w in zip(pick[name], table.widths, strict=True)]
    agree(run(reference, x, mix, pick), run(net, x, mix, pick))


@pytest.mark.parametrize("profile", PROFILES)
def test_weights_behind_what_no_branch_reads_have_no_gradient(profile):
    """An optimizer leaves a weight without gradient alone, one with a gradient of zeros decays."""
    reference, net = twins(small("darts"), profile, mode="one_path")
    x, mix, pick = example(reference)
    table = net.tables["normal"]
    for i, (decision, labels) in enumerate(zip(table.decisions, table.labels, strict=True)):
        if "prev2" in decision:
            pick["normal"][i] = labels.index("none")
            mix["normal"][i] = torch.eye(len(labels))[pick["normal"][i]]
    wanted = run(reference, x, mix, pick)
    unread = [n for n, g in wanted[1].items() if ".prev2." in n and n.count(".") == 4 and g is None]
    assert any("normal" in n for n in unread)
    agree(wanted, run(net, x, mix, pick))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_mix_that_is_not_one_hot_and_gradients_of_gradients(profile):
    reference, net = twins(small("darts"), profile, mode="one_path")
    x, mix, pick = example(reference)
    mix = {k: torch.softmax(v, -1) for k, v in mix.items()}
    agree(run(reference, x, mix, pick), run(net, x, mix, pick))
    found = []
    for one in (reference, net):
        own = {k: v.clone().requires_grad_() for k, v in mix.items()}
        wanted = [*own.values(), *one.parameters()]
        loss = one(x, own, pick).square().mean()
        first = torch.autograd.grad(loss, wanted, create_graph=True, allow_unused=True)
        length = sum(g.square().sum() for g in first if g is not None)
        found.append(torch.autograd.grad(length, list(own.values())))
    scale = max(g.abs().max() for g in found[0])
    for a, b in zip(*found, strict=True):
        assert (a - b).abs().max() < 1e-9 * scale


@pytest.mark.parametrize("profile", PROFILES)
def test_instances_with_mixes_of_their_own(profile):
    reference, net = twins(small("darts"), profile, mode="one_path")
    x, mix, pick = example(reference)
    slot = reference.slots[0]
    mix[slot.instance] = mix[slot.table].flip(1)
    pick[slot.instance] = [7 - p for p in pick[slot.table]]
    agree(run(reference, x, mix, pick), run(net, x, mix, pick))


def test_branches_that_are_no_chains_run_as_modules():
    reference, net = twins(small("darts"), "balanced", mode="one_path")
    branch = next(m for n, m in net.named_modules() if n.endswith("sep_conv_3x3"))
    assert [kind for kind, _ in chain(branch)][:4] == ["relu", "call", "call", "norm"]
    hooked = copy.deepcopy(branch)
    seen = []
    hooked.conv.register_forward_hook(lambda *_: seen.append(1))
    assert chain(hooked) is None and chain(nn.Identity()) is None
    for n, m in net.named_modules():
        if n.endswith("sep_conv_3x3.conv"):
            m.register_forward_hook(lambda *_: seen.append(1))
    x, mix, pick = example(reference)
    pick = {k: [4] * len(v) for k, v in pick.items()}
    agree(run(reference, x, mix, pick, steps=1), run(net, x, mix, pick, steps=1))
    assert seen


def test_equal_branches_share_a_program(monkeypatch):
    def ways(net):
        sums = [
            n.target for n in net.planned().module.graph.nodes if isinstance(n.target, PickedSum)
        ]
        return [way for s in sums for edge in s.ways for way in edge]

    net, _ = twins(small("darts"), "reference", mode="one_path")
    if isinstance(toolchain(), Missing):
        pytest.skip("no compiler")
    found = [w for w in ways(net.under("balanced")) if isinstance(w, Kernel)]
    assert len(found) > 100
    # Six kinds of branches; three widths, two of which also halve the extent.
    assert len({id(w.call) for w in found}) == 6 * 5
    assert not any(isinstance(w, Kernel) for w in ways(net.under("launch")))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not any(isinstance(w, Kernel) for w in ways(net.under("balanced")))
