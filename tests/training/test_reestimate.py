"""Batch-norm statistics measured anew; float64."""

import json

import pytest
import torch
from small_runs import copies, equal, inputs, plan, run, search
from torch import nn

from nasdsl.codegen.part import Part
from nasdsl.ir.genotype import loads
from nasdsl.training.reestimate import reestimate


def batches(count, size=8, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [
        torch.randn(size, 3, 4, 4, generator=draw, dtype=torch.float64) * (i + 1) + i
        for i in range(count)
    ]


def test_statistics_are_the_plain_average_over_the_batches():
    norm = nn.BatchNorm2d(3, momentum=0.25).double()
    norm(torch.full((2, 3, 4, 4), 100.0, dtype=torch.float64))
    given = batches(3)
    assert reestimate(norm, given) == 3
    dims = (0, 2, 3)
    mean = torch.stack([x.mean(dims) for x in given]).mean(0)
    var = torch.stack([x.var(dims, unbiased=True) for x in given]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.running_var, var, rtol=1e-12, atol=1e-12)
    assert norm.momentum == 0.25 and norm.training


def test_a_known_batch():
    """Values 1, 3 of one channel: mean 2, unbiased variance 2."""
    norm = nn.BatchNorm1d(1).double()
    reestimate(norm, [torch.tensor([[1.0], [3.0]], dtype=torch.float64)])
    assert norm.running_mean.tolist() == [2.0]
    assert norm.running_var.tolist() == [2.0]


def layers():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Dropout(0.5), nn.ReLU(),
        nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2),
    ).double()  # fmt: skip


def test_the_second_layer_sees_what_the_first_makes_of_the_batch():
    net = layers().eval()
    (x,) = batches(1)
    reestimate(net, [x])
    hidden = net[0](x)
    dims = (0, 2, 3)
    biased = (hidden - hidden.mean(dims, keepdim=True)) / (
        hidden.var(dims, unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    wanted = net[4](biased.relu())  # no dropout meanwhile
    torch.testing.assert_close(net[1].running_mean, hidden.mean(dims))
    torch.testing.assert_close(net[5].running_mean, wanted.mean(dims))
    torch.testing.assert_close(net[5].running_var, wanted.var(dims, unbiased=True))


def test_weights_and_modes_stay():
    net = layers().train()
    net[5].eval()
    before = copies(dict(net.named_parameters()))
    reestimate(net, batches(2))
    assert equal(before, dict(net.named_parameters()))
    assert [m.training for m in net] == [True] * 5 + [False]
    assert net[1].momentum == 0.1


def test_without_batches_or_where_one_fails_the_statistics_stay():
    net = layers()
    net(batches(1)[0])
    before = copies(dict(net.named_buffers()))
    with pytest.raises(ValueError, match="there is none"):
        reestimate(net, [])
    assert equal(before, dict(net.named_buffers()))
    with pytest.raises(RuntimeError):
        reestimate(net, [batches(1)[0], torch.zeros(1, 5, 4, 4, dtype=torch.float64)])
    assert equal(before, dict(net.named_buffers()))
    assert all(m.training for m in net)


def test_c86_statistics_of_a_part_are_its_own():
    """C86: running statistics are those of the mixture; measured anew they are the batch's.

    The supernet's own buffers stay what they were.
    """
    given = inputs()
    task = search(plan("soft"), given)
    run(task)
    found = loads(json.dumps(task.result()["genotype"]))
    supernet = task.session.supernet.double()
    before = copies(dict(supernet.named_buffers()))
    x, _ = given.train.take(torch.arange(64))
    x = x.double()
    part = Part(supernet, found)
    mixture = part.eval()(x)
    batch = Part(supernet, found).train()(x)
    reestimate(part, [x])
    assert equal(before, dict(supernet.named_buffers()))
    assert not torch.allclose(part.eval()(x), mixture)
    # A batch is normalised with its biased variance; what is kept is the unbiased one.
    counts = {}
    hooks = [
        m.register_forward_pre_hook(lambda m, args: counts.update({m: args[0][:, 0].numel()}))
        for m in part.modules()
        if isinstance(m, nn.BatchNorm2d)
    ]
    part(x)
    for hook in hooks:
        hook.remove()
    for norm, n in counts.items():
        norm.running_var.mul_((n - 1) / n)
    torch.testing.assert_close(part(x), batch, rtol=1e-9, atol=1e-9)
