"""Several processes that make every step together are one process, to rounding."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ranks import together
from small_runs import inputs, plan, run

from nasdsl.codegen.supernet import Supernet
from nasdsl.ir import discretize
from nasdsl.oneshot.ranks import pair
from nasdsl.oneshot.ranks.batch_norm import batch_norm
from nasdsl.oneshot.ranks.world import ALONE, World, WorldError
from nasdsl.training.data.batches import Images, Stream
from nasdsl.training.data.sources import DataError
from nasdsl.training.retrain import Retrain
from nasdsl.training.search import Search


def gathered(world, value):
    """A value of this rank beside those of the others, by rank."""
    return [
        world.sum(value if r == world.rank else torch.zeros_like(value)) for r in range(world.size)
    ]


# ---- worlds


@pytest.mark.parametrize("count", [1, 2, 7, 8, 64])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_parts_of_a_batch_are_all_of_it_once(count, size):
    parts = [range(count)[World(rank=r, size=size).part(count)] for r in range(size)]
    assert [i for part in parts for i in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_no_such_rank():
    with pytest.raises(WorldError, match="no rank 2 in a world of 2"):
        World(rank=2, size=2)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("n", [24, 27])
def test_ranks_share_out_the_batches_of_one_process(size, n):
    given = inputs(64, classes=64)  # the label is the index
    made = {"batch_size": 9, "seed": 3, "name": "s"}
    one = Stream(given.train, range(n), **made)
    ranks = [
        Stream(given.train, range(n), world=World(rank=r, size=size), **made) for r in range(size)
    ]
    for _ in range(3 * one.batches_per_pass):
        whole, parts = one.next_batch(), [s.next_batch() for s in ranks]
        for i in (0, 1):
            assert torch.equal(whole[i], torch.cat([p[i] for p in parts]))


def test_a_batch_too_small_for_its_ranks_is_refused():
    given = inputs(64)
    with pytest.raises(DataError, match=r"a batch of 7 leaves some of 4 ranks fewer than two"):
        Stream(given.train, range(7), batch_size=8, seed=0, name="s", world=World(size=4))


# ---- the two functions, and batch-norm


def _curved(w, x, bn):
    """Something of every order in `w`."""
    h = x * w[:, None, None]
    h = bn(h).tanh()
    return (h * w.exp()[:, None, None]).flatten(1).square().sum(1).sin()


def _norm(x):
    scale = torch.linspace(0.5, 2, x.shape[1], dtype=x.dtype)
    return batch_norm(x, None, None, scale, scale - 1, True)


def _plain(x):
    scale = torch.linspace(0.5, 2, x.shape[1], dtype=x.dtype)[:, None, None]
    mean = x.mean((0, 2, 3), keepdim=True)
    var = (x - mean).square().mean((0, 2, 3), keepdim=True)
    return (x - mean) * torch.rsqrt(var + 1e-5) * scale + scale - 1


def _orders(world, whole):
    """Loss, gradient, and a third derivative of a loss over all ranks."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn((7, 3, 2, 2), dtype=torch.float64, generator=draw)
    w = torch.randn(3, dtype=torch.float64, generator=draw).requires_grad_()
    v = torch.randn(3, dtype=torch.float64, generator=draw)
    if whole:
        loss = _curved(w, x, _plain).mean()
    else:
        x = x[world.part(7)]
        loss = pair.mean(_curved(pair.enter({"w": w})["w"], x, _norm).sum(), len(x))
    found = [loss.detach()]
    slope = loss
    for _ in range(3):
        (slope,) = torch.autograd.grad(slope, w, create_graph=True)
        found.append(slope.detach())
        slope = slope.dot(v)
    return torch.cat([f.reshape(-1) for f in found]).numpy()


def test_three_derivatives_through_batch_norm_are_those_of_one_process(tmp_path):
    expected = _orders(ALONE, True)
    for found in together(_orders, 3, tmp_path, False):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


# ---- runs


class Doubles(Images):
    """Images in double precision: rounding says nothing about whether two ways are one."""

    __slots__ = ()

    def take(self, indices, augment=None, generator=None):
        x, y = Images.take(self, indices, augment, generator)
        return x.double(), y


def doubled(given):
    def of(images):
        return Doubles(x=images.x, y=images.y, mean=images.mean, std=images.std)

    return replace(given, train=of(given.train), test=of(given.test))


def searching(world, recipe="soft", n=320, steps=20, exact=True, **options):
    """Everything a search holds after so many steps, its log and its end."""
    made, given = plan(recipe), inputs(n)
    task = Search(
        made.space(), made.recipe, doubled(given) if exact else given, seed=0, device="cpu",
        world=world, **options,
    )  # fmt: skip
    if exact:
        task.session.supernet.double()
        task.session.arch.double()
    records = run(task, steps)
    return held(task), records, task.result()


def retraining(world, n=330, batch=15):
    """Twenty steps with drop-path, an odd batch, and what the network is worth."""
    made = plan("soft", **{"train.batch": batch})
    picked = discretize.argmax(made.space(), mix_of(made.space()))
    task = Retrain(
        made.space(picked).target, made.train, doubled(inputs(n)), seed=0, device="cpu",
        world=world,
    )  # fmt: skip
    task.net.double()
    records = run(task, 20)
    return held(task), records, task.measure("test")


def mix_of(space):
    """A mix that prefers convolutions."""
    supernet = Supernet(space)
    draw = torch.Generator().manual_seed(0)
    return {
        name: {
            d: torch.rand(len(labels), generator=draw).tolist()
            for d, labels in zip(t.decisions, t.labels, strict=True)
        }
        for name, t in supernet.tables.items()
    }


def held(task):
    """Everything of a task that is no generator, by name."""
    tensors, _ = task.state()
    return {
        f"{group}|{name}": t.detach().numpy().copy()
        for group, named in tensors.items()
        for name, t in named.items()
        if group != "generators"
    }


def close(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance, err_msg=name)


def same(found, others):
    """Every rank holds the same, to the last bit."""
    for other in others:
        assert all((value == other[name]).all() for name, value in found.items())


def numbers(value):
    """The numbers of a log, in order."""
    if isinstance(value, dict):
        return [x for v in value.values() for x in numbers(v)]
    if isinstance(value, list | tuple):
        return [x for v in value for x in numbers(v)]
    return [float(value)] if isinstance(value, int | float) else []


def test_twenty_steps_of_a_search_on_two_ranks_are_those_of_one_process(tmp_path):
    expected, records, result = searching(ALONE)
    ranks = together(searching, 2, tmp_path)
    for found, logged, ended in ranks:
        close(found, expected, 1e-9)
        np.testing.assert_allclose(numbers(logged), numbers(records), atol=1e-9)
        np.testing.assert_allclose(numbers(ended), numbers(result), atol=1e-9)
        assert ended["genotype"] == result["genotype"]
    same(ranks[0][0], [ranks[1][0]])


def test_twenty_steps_of_a_retraining_on_two_ranks_are_those_of_one_process(tmp_path):
    expected, records, worth = retraining(ALONE)
    ranks = together(retraining, 2, tmp_path)
    for found, logged, measured in ranks:
        close(found, expected, 1e-9)
        np.testing.assert_allclose(numbers(logged), numbers(records), atol=1e-9)
        np.testing.assert_allclose(measured, worth, atol=1e-9)
    same(ranks[0][0], [ranks[1][0]])
