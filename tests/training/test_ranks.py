"""Several processes that make every step together are one process, to rounding."""

import json
import multiprocessing
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from ranks import kill_self, together
from same_runs import close, doubled, held, numbers, same
from small_runs import TEXT, inputs, plan, run

from nasdsl.codegen.supernet import Supernet
from nasdsl.ir import discretize
from nasdsl.oneshot.ranks import pair
from nasdsl.oneshot.ranks.batch_norm import batch_norm
from nasdsl.oneshot.ranks.world import ALONE, Elsewhere, RankLost, World, WorldError, joined
from nasdsl.training.agreement import Disagreed, same_data
from nasdsl.training.data.batches import Stream
from nasdsl.training.data.sources import DataError
from nasdsl.training.interrupt import Stopped
from nasdsl.training.loop import drive
from nasdsl.training.retrain import Retrain
from nasdsl.training.search import Search

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


def searching(world, recipe="soft", n=320, steps=20, profile="reference"):
    """Everything a search holds after so many steps, its log and its end."""
    made = plan(recipe)
    task = Search(
        made.space(), made.recipe, doubled(inputs(n)), seed=0, device="cpu", profile=profile,
        world=world,
    )  # fmt: skip
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


@pytest.mark.parametrize(
    ("recipe", "profile", "steps"),
    [("soft", "reference", 20), ("soft", "launch", 4), ("hard", "launch", 4)],
)
def test_steps_of_a_search_on_two_ranks_are_those_of_one_process(recipe, profile, steps, tmp_path):
    n = 4 * 8 * max(1, steps // 2)  # two epochs
    expected, records, result = searching(ALONE, recipe, n, steps, profile)
    ranks = together(searching, 2, tmp_path, recipe, n, steps, profile)
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


def indices_seen(world, size, batch):
    """The indices that a rank trained on in each epoch: of search and of retraining."""
    text = TEXT.replace("classes = 4", "classes = 64")  # the label is the index
    made = plan("soft", text=text, batch=batch, **{"train.batch": batch})
    given = inputs(64, classes=64)
    task = Search(made.space(), made.recipe, given, seed=0, device="cpu", world=world)
    seen = {"search.train": [], "search.valid": [], "retrain.train": []}

    def noting(part, give):
        def noted():
            x, y = give()
            seen[part].extend(y.tolist())
            return x, y

        return noted

    session = task.session
    session.next_train = noting("search.train", session.next_train)
    session.next_valid = noting("search.valid", session.next_valid)
    drive(task, folder=None, world=world)
    net = made.space(task.genotype()).target
    last = Retrain(net, made.train, given, seed=0, device="cpu", world=world)
    last.train.next_batch = noting("retrain.train", last.train.next_batch)
    drive(last, folder=None, world=world)
    return seen


@pytest.mark.parametrize("size", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_ranks_train_on_the_declared_images_and_on_no_other(size, tmp_path):
    parts = inputs(64, classes=64).parts.parts()
    ranks = together(indices_seen, size, tmp_path, size, 8)
    for part, declared in parts.items():
        whole = [i for seen in ranks for i in seen[part]]
        # Two epochs: every image twice, over all ranks.
        assert sorted(whole) == sorted([*declared.tolist()] * 2)
    search = {i for seen in ranks for p in ("search.train", "search.valid") for i in seen[p]}
    assert search.isdisjoint(i for seen in ranks for i in seen["retrain.train"])


def test_local_batch_norms_run_under_any_profile_and_are_levelled(tmp_path):
    made = [
        together(searching, 2, tmp_path / profile, "soft", 64, 4, profile, batch_norm="local")
        for profile in ("reference", "launch")
    ]
    joint = searching(ALONE, "soft", 64, 4)[0]
    for ranks in made:
        same(ranks[0][0], [ranks[1][0]])
        assert numbers(ranks[0][1:]) == numbers(ranks[1][1:])
        close(ranks[0][0], made[0][0][0], 1e-9)
    # Statistics of half a batch are others than those of the batch.
    mean = "supernet|graph.stem.bn.running_mean"
    var = mean.replace("mean", "var")
    np.testing.assert_allclose(made[0][0][0][mean], joint[mean], atol=1e-2)
    assert np.abs(made[0][0][0][var] - joint[var]).max() > 1e-6


# ---- what goes wrong


def driven(world, folder, batch=8, dies=None, wall_limit=None):
    """A search in a folder; rank 1 dies before step `dies`. What it holds, or why it ended."""
    made = plan("soft", batch=batch)
    task = Search(
        made.space(), made.recipe, doubled(inputs(128)), seed=0, device="cpu", world=world
    )
    task.session.supernet.double()
    task.session.arch.double()
    step, made_steps = task.step, 0

    def counted(epoch, number):
        nonlocal made_steps
        if made_steps == dies and world.rank == 1:
            kill_self()
        made_steps += 1
        step(epoch, number)

    task.step = counted
    try:
        drive(task, folder=folder, world=world, wall_limit=wall_limit)
    except (RankLost, Stopped) as error:
        return type(error).__name__, str(error)
    return held(task), task.result()


def test_a_run_whose_rank_was_killed_goes_on_from_its_checkpoint(tmp_path):
    whole = together(driven, 2, tmp_path / "a", tmp_path / "whole")
    # Four steps an epoch: rank 1 dies in the second.
    lost = together(driven, 2, tmp_path / "b", tmp_path / "run", 8, 5, lost={1})
    assert lost[1] is None
    assert lost[0][0] == "RankLost"
    assert "another rank does not answer any more" in lost[0][1]
    assert (tmp_path / "run" / "checkpoint" / "latest").read_text() == "epoch-1-step-0"
    shutil.copytree(tmp_path / "run", tmp_path / "alone")
    again = together(driven, 2, tmp_path / "c", tmp_path / "run")
    same(whole[0][0], [again[0][0], again[1][0]])
    assert again[0][1] == whole[0][1]
    # The state does not depend on how many ranks there are.
    alone, result = driven(ALONE, tmp_path / "alone")
    close(alone, whole[0][0], 1e-9)
    assert result["genotype"] == whole[0][1]["genotype"]
    logs = [(tmp_path / n / "log.jsonl").read_text().splitlines() for n in ("whole", "alone")]
    for one, other in zip(*logs, strict=True):
        assert numbers(json.loads(one)) == pytest.approx(numbers(json.loads(other)), abs=1e-9)


def test_a_stop_in_the_midst_of_an_epoch_goes_on_with_other_ranks(tmp_path):
    whole, _ = driven(ALONE, tmp_path / "whole")
    for size in (2, 3, 1):
        stopped = together(driven, size, tmp_path / "m", tmp_path / "run", 8, None, 0)
        assert all(rank[0] == "Stopped" for rank in stopped)
    assert (tmp_path / "run" / "checkpoint" / "latest").read_text() == "epoch-0-step-3"
    found = together(driven, 2, tmp_path / "m", tmp_path / "run")
    close(found[0][0], whole, 1e-9)
    logs = [(tmp_path / n / "log.jsonl").read_text().splitlines() for n in ("whole", "run")]
    for one, other in zip(*logs, strict=True):
        assert numbers(json.loads(one)) == pytest.approx(numbers(json.loads(other)), abs=1e-9)


def astray(world, folder):
    """A search whose second rank moves an alpha by itself."""
    made = plan("soft")
    task = Search(made.space(), made.recipe, inputs(64), seed=0, device="cpu", world=world)
    step = task.step

    def moved(epoch, number):
        step(epoch, number)
        if world.rank == 1 and epoch == 1:
            with torch.no_grad():
                next(iter(task.session.alphas.values())).view(-1)[0] += 1e-6

    task.step = moved
    with pytest.raises(Disagreed) as error:
        drive(task, folder=folder, world=world)
    return str(error.value)


def test_alphas_that_differ_between_ranks_end_the_run_unwritten(tmp_path):
    said = together(astray, 2, tmp_path / "m", tmp_path / "run")
    assert said[0] == said[1]
    assert said[0].startswith("epoch 2, step 0: `alphas` of rank 1 is not that of rank 0")
    assert (tmp_path / "run" / "checkpoint" / "latest").read_text() == "epoch-1-step-0"


def other_data(world):
    given = inputs(64)
    same_data(given, world)
    if world.rank == 1:
        swapped = replace(given.parts, search_train=given.parts.search_train[::-1])
        given = replace(given, parts=swapped)
    with pytest.raises(Disagreed, match="the split of rank 1 are not those of rank 0"):
        same_data(given, world)
    return True


def test_ranks_that_read_other_data_are_told(tmp_path):
    assert all(together(other_data, 2, tmp_path))


def talking(world):
    """What the ranks tell each other, and what of it fails."""
    found = [world.any(world.rank == 1), world.any(False), world.first(world.rank > 0)]
    found.append(world.told(lambda: b"from the first"))
    found.append(world.told(lambda: b""))
    found.append(world.differing({"a": b"12", "b": bytes([world.rank, 0])}))
    found.append(world.differing({"a": b"12"}))
    try:
        with world.together():
            if world.rank == 2:
                raise DataError("no images")
    except (DataError, Elsewhere) as error:
        found.append(f"{type(error).__name__}: {error}")
    return found


def test_what_ranks_tell_each_other(tmp_path):
    ranks = together(talking, 3, tmp_path)
    for rank, found in enumerate(ranks):
        assert found[:-1] == [True, False, 1, b"from the first", b"", ("b", 1), None]
        assert found[-1] == ("DataError: no images" if rank == 2 else "Elsewhere: rank 2 failed")


def test_ranks_that_are_started_again_do_not_find_the_addresses_of_the_last_ones(tmp_path):
    """Two processes by hand: those of `together` have met already."""
    context = multiprocessing.get_context("fork")
    for attempt in range(3):
        ranks = [
            context.Process(target=_meet, args=(World(rank=r, size=2, attempt=attempt), tmp_path))
            for r in range(2)
        ]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(60)
        # They leave without goodbye, as ranks that are killed.
        assert [process.exitcode for process in ranks] == [17, 17]


def _meet(world, folder):
    with joined(world, "cpu", f"file://{folder}/store"):
        os._exit(17 if world.sum(torch.ones(1)).item() == 2 else 1)
