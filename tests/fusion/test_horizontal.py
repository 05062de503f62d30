"""Operations of a wave as one: where it is exact, and where it is left alone."""

import copy

import pytest
import torch
from equality import agree, example, run, twins
from small_networks import small
from torch import nn

from nasdsl.fusion.joined import (
    GatherWeights,
    JoinedSum,
    PackParameters,
    joined_norm,
    repeated,
)
from nasdsl.fusion.norms import moved, normalised

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def maps(channels, layout=torch.contiguous_format, seed=0):
    x = torch.randn(2, channels, 3, 4, generator=torch.Generator().manual_seed(seed))
    return x.double().contiguous(memory_format=layout).requires_grad_()


def steps(net):
    return {s.name: s for s in net.planned().steps}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_sums_at_once(layout):
    before, plain, values = maps(6, layout), maps(9, layout, 1), maps(12, layout, 2)
    weights = torch.rand(8, dtype=torch.float64, requires_grad=True)
    add = JoinedSum(2, (1, 0, 1))

    def terms(before, plain, values, weights):
        pieces, each = plain.split(3, 1), values.split(3, 1)
        first = pieces[1] + sum(w * v for w, v in zip(weights[:4], each, strict=True))
        second = pieces[0] + pieces[2] + sum(w * v for w, v in zip(weights[4:], each, strict=True))
        return before + torch.cat([first, second], 1)

    given = (before, plain, values, weights)
    torch.testing.assert_close(add(*given), terms(*given), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(add, given)
    assert torch.autograd.gradgradcheck(add, given)
    alone = JoinedSum(2, ())(None, None, values, weights)
    torch.testing.assert_close(alone, terms(before * 0, plain * 0, values, weights))


def test_pieces_over_and_over():
    x = maps(4, torch.channels_last)
    assert repeated(x, 3).equal(torch.cat([x] * 3, 1))
    assert repeated(x, 3).is_contiguous(memory_format=torch.channels_last)
    assert torch.autograd.gradcheck(lambda x: repeated(x, 3), (x,))


@pytest.mark.parametrize("modes", [(True, True), (False, False), (True, False)])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("scaled", [True, False])
def test_norms_joined_are_the_norms(modes, affine, scaled):
    norms = []
    for i, mode in enumerate(modes):
        bn = nn.BatchNorm2d(3, affine=affine).double().train(mode)
        nn.init.uniform_(bn.running_mean), nn.init.uniform_(bn.running_var)
        if affine:
            nn.init.normal_(bn.weight, i), nn.init.normal_(bn.bias, i)
        norms.append(bn)
    others = copy.deepcopy(norms)
    x, scale = maps(6), torch.rand(2, dtype=torch.float64).repeat_interleave(3).requires_grad_()
    y, mean, var = joined_norm(x, norms, scale if scaled else None)
    moved([norms], [mean], [var])
    wanted = torch.cat([normalised(p, bn) for p, bn in zip(x.split(3, 1), others, strict=True)], 1)
    if scaled:
        wanted = wanted * scale.view(1, -1, 1, 1)
    torch.testing.assert_close(y, wanted, rtol=1e-12, atol=1e-12)
    leaves = [x, *([scale] if scaled else [])]
    g = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for a, b in zip(
        torch.autograd.grad(y, leaves, g), torch.autograd.grad(wanted, leaves, g), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    for a, b in zip(norms, others, strict=True):
        torch.testing.assert_close(a.running_mean, b.running_mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(a.running_var, b.running_var, rtol=1e-12, atol=1e-12)


def test_weights_of_the_mix_are_gathered_where_instances_share_a_table():
    table = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    own = torch.rand(2, 5, dtype=torch.float64, requires_grad=True)
    gather = GatherWeights((((0, 1, 2), None, (1, 1, 2)), ((2, 1, 4),)))
    for _ in range(2):
        first, second = gather([table, table, own])
        assert first.tolist() == [table[1, 2].item(), 0, table[1, 2].item()]
        assert second.tolist() == [own[1, 4].item()]
    first.sum().backward()
    assert table.grad[1, 2] == 2 and table.grad.sum() == 2
    apart, _ = gather([table, table + 1, own])
    assert apart.tolist() == [table[1, 2].item(), 0, table[1, 2].item() + 1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed_parameters_have_gradients_of_their_own(layout):
    convs = [nn.Conv2d(2, 4, 3, bias=i > 1).double().to(memory_format=layout) for i in range(4)]
    convs[0].weight.requires_grad_(False)
    first, second, _, bias = PackParameters((2, 2))(convs)
    assert first.equal(torch.cat([convs[0].weight, convs[1].weight]))
    assert second.equal(torch.cat([convs[2].weight, convs[3].weight]))
    assert bias.equal(torch.cat([convs[2].bias, convs[3].bias]))
    (first * torch.arange(8.0).view(8, 1, 1, 1)).sum().backward()
    assert convs[0].weight.grad is None
    assert convs[1].weight.grad[:, 0, 0, 0].tolist() == [4, 5, 6, 7]
    assert convs[2].weight.grad is None or not convs[2].weight.grad.any()


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_some_weights_are_frozen(name):
    reference, net = twins(small(name), "launch")
    x, mix, _ = example(reference)
    found = []
    for each in (reference, net):
        frozen = [p for i, p in enumerate(each.parameters()) if i % 3 == 0]
        for p in frozen:
            p.requires_grad_(False)
        each(x, mix).square().sum().backward()
        assert all(p.grad is None for p in frozen)
        found.append([p.grad for p in each.parameters() if p.requires_grad])
    scale = max(g.abs().max() for g in found[0])
    for a, b in zip(*found, strict=True):
        assert (a - b).abs().max() < 1e-10 * scale


def test_norms_in_two_modes_and_of_two_instances():
    reference, net = twins(small("darts"), "launch")
    x, mix, _ = example(reference)
    for each in (reference, net):
        norms = [m for m in each.modules() if isinstance(m, nn.BatchNorm2d)]
        for bn in norms[::5]:
            bn.eval()
    agree(run(reference, x, mix), run(net, x, mix))


def test_what_a_hook_sees_runs_by_itself():
    reference, net = twins(small("darts"), "launch")
    x, mix, _ = example(reference)
    seen = []
    name, conv = next((n, m) for n, m in net.named_modules() if n.endswith("sep_conv_3x3.conv"))
    conv.register_forward_hook(lambda module, args, out: seen.append(out.shape))
    agree(run(reference, x, mix, steps=1), run(net, x, mix, steps=1))
    assert len(seen) == 1
    refused = steps(net)["horizontal"].refusals
    assert [r.reason for r in refused if name.endswith(r.place)] == ["a hook sees its values"]


def test_what_is_joined_and_what_is_not():
    found = steps(twins(small("nasbench201"), "launch")[1])
    assert found["horizontal"].changes > 40
    found = steps(twins(small("conv1d"), "launch")[1])
    reasons = {r.reason for r in found["horizontal"].refusals}
    assert found["horizontal"].changes == 0
    assert reasons == {"its values are not certainly images of one shape"}
