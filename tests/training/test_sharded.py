"""Parameters that are shared out over the ranks: the same run as with all of them on each."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from ranks import kill_self, together
from same_runs import close, doubled, held, numbers, same
from small_runs import TEXT, inputs, plan, run
from test_ranks import mix_of
from torch import nn

from nasdsl.ir import discretize
from nasdsl.oneshot import optimizers
from nasdsl.oneshot.ranks import shards
from nasdsl.oneshot.ranks.world import ALONE, RankLost, World, WorldError
from nasdsl.training.interrupt import Stopped
from nasdsl.training.loop import drive
from nasdsl.training.plan import PlanError
from nasdsl.training.retrain import Retrain
from nasdsl.training.run import Options, check_ranks
from nasdsl.training.search import Search

MORE = """
recipe both extends soft {
  step      = joint
  drop_path = 0.2
}
recipe clipped extends soft {
  weights.clip = 0.1
}
recipe asked extends soft {
  select = random(samples = 3, score = accuracy(search.valid))
}
"""
#: Retraining with everything that a step of it may have.
TRAINED = TEXT.replace("momentum = 0.9)\n  drop_path", "momentum = 0.9, clip = 0.05)\n  drop_path")


@pytest.fixture
def exact():
    """Two ways to one number differ by rounding, which is nothing in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def images(n):
    """Images of the type that new tensors have."""
    given = inputs(n)
    return doubled(given) if torch.get_default_dtype() == torch.float64 else given


def sharded(world, shard):
    return replace(world, sharded=shard)


def kept(network):
    """Parameters that this rank keeps, and those of the whole network."""
    own = sum(getattr(p, "_local_tensor", p).numel() for p in network.parameters())
    return own, sum(p.numel() for p in network.parameters())


def searching(world, shard, recipe, steps, profile, space="tiny"):
    """Everything a search holds after so many steps, its log and its end."""
    made = plan(recipe, text=TEXT + MORE, space=space)
    task = Search(
        made.space(), made.recipe, images(4 * 8 * max(1, steps // 2)), seed=0, device="cpu",
        profile=profile, limits=made.limits(), world=sharded(world, shard),
    )  # fmt: skip
    records = run(task, steps)
    return held(task), records, task.result(), kept(task.session.supernet)


def retraining(world, shard, space="tiny"):
    """Twenty steps with drop-path and clipped gradients, and what the network is worth."""
    made = plan(text=TRAINED, space=space, **{"train.batch": 15})
    picked = discretize.argmax(made.space(), mix_of(made.space()))
    task = Retrain(
        made.space(picked).target, made.train, images(330), seed=0, device="cpu",
        world=sharded(world, shard),
    )  # fmt: skip
    records = run(task, 20)
    return held(task), records, task.measure("test"), kept(task.net)


def agree(found, expected, tolerance):
    """Two ends of a task, from all ranks, are one."""
    close(found[0], expected[0], tolerance)
    for one, other in zip(found[1:3], expected[1:3], strict=True):
        np.testing.assert_allclose(numbers(one), numbers(other), atol=tolerance)


def shared_out(ranks):
    """Every rank keeps about its share, and none of them all."""
    whole = ranks[0][3][1]
    assert sum(own for *_, (own, _) in ranks) == whole
    assert max(own for *_, (own, _) in ranks) < 0.7 * whole


@pytest.mark.parametrize(
    ("recipe", "profile", "steps"),
    [
        pytest.param("clipped", "reference", 20, marks=pytest.mark.slow),
        ("both", "launch", 4),
        pytest.param("hard", "launch", 4, marks=pytest.mark.slow),
        pytest.param("soft", "launch", 20, marks=pytest.mark.slow),
        pytest.param("asked", "reference", 2, marks=pytest.mark.slow),
        pytest.param("drawn", "reference", 4, marks=pytest.mark.slow),
    ],
)
def test_a_sharded_search_is_that_of_one_process(recipe, profile, steps, tmp_path, exact):
    expected = searching(ALONE, False, recipe, steps, profile)
    ranks = together(searching, 2, tmp_path, True, recipe, steps, profile)
    for found in ranks:
        agree(found, expected, 1e-9)
        assert found[2]["genotype"] == expected[2]["genotype"]
    same(ranks[0][0], [ranks[1][0]])
    shared_out(ranks)


@pytest.mark.slow
def test_twenty_steps_in_float32_are_those_without_sharding(tmp_path):
    args = "clipped", 20, "reference", "bench"
    whole = together(searching, 2, tmp_path / "a", False, *args)
    ranks = together(searching, 2, tmp_path / "b", True, *args)
    agree(ranks[0], whole[0], 1e-5)
    same(ranks[0][0], [ranks[1][0]])


def test_a_sharded_retraining_is_that_of_one_process(tmp_path, exact):
    expected = retraining(ALONE, False)
    ranks = together(retraining, 2, tmp_path, True)
    for found in ranks:
        agree(found, expected, 1e-9)
    same(ranks[0][0], [ranks[1][0]])
    shared_out(ranks)


@pytest.mark.slow
def test_twenty_steps_of_a_retraining_in_float32_are_those_without_sharding(tmp_path):
    whole = together(retraining, 2, tmp_path / "a", False, "bench")
    ranks = together(retraining, 2, tmp_path / "b", True, "bench")
    agree(ranks[0], whole[0], 1e-5)


def clipped(world, kind):
    """Moves along gradients whose norm is bounded, sharded and not."""
    found = []
    for shard in (False, True):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(5, 3, bias=False), nn.Linear(3, 1), nn.Linear(1, 7))
        if shard:
            shards.shard(net, list(net), sharded(world, True), torch.device("cpu"))
        parameters = dict(net.named_parameters())
        optimizer = kind(parameters.values(), lr=0.0)
        for k in range(3):
            # The same on all ranks, so that their sum is twice as much.
            x = torch.randn((4, 5), generator=torch.Generator().manual_seed(k))
            loss = net(x).square().sum() * (1 if shard else world.size)
            take = shards.gradients if shard else optimizers.gradients
            optimizers.move(
                optimizer, parameters, take(loss, parameters), lr=0.1, decay=0.01, clip=0.3
            )
        state = optimizers.state(optimizer, parameters)
        found.append({**shards.wholes(net.state_dict()), **state})
    return [{n: t.detach().numpy() for n, t in each.items()} for each in found]


@pytest.mark.parametrize(
    "kind", [torch.optim.SGD, pytest.param(torch.optim.Adam, marks=pytest.mark.slow)]
)
def test_clipping_bounds_the_norm_over_all_ranks(kind, tmp_path, exact):
    """Three ranks, of which some have no row of a parameter."""
    for plain, shared in together(clipped, 3, tmp_path, kind):
        close(shared, plain, 1e-12)


# ---- checkpoints


def driven(world, folder, shard, dies=None, wall_limit=None):
    """A search in a folder; rank 1 dies before step `dies`. What it holds, or why it ended."""
    made = plan("soft", text=TEXT + MORE, space="bench")
    task = Search(
        made.space(), made.recipe, images(128), seed=0, device="cpu", world=sharded(world, shard)
    )
    step, made_steps = task.step, 0

    def counted(epoch, number):
        nonlocal made_steps
        if made_steps == dies and world.rank == 1:
            kill_self()
        made_steps += 1
        step(epoch, number)

    task.step = counted
    try:
        drive(task, folder=folder, world=task.world, wall_limit=wall_limit)
    except (RankLost, Stopped) as error:
        return type(error).__name__, str(error)
    return held(task), task.result()


@pytest.mark.slow
def test_a_sharded_run_stops_and_goes_on_with_and_without_sharding(tmp_path, exact):
    whole, _ = driven(ALONE, tmp_path / "whole", False)
    for size, shard in ((2, True), (3, True), (2, False)):
        stopped = together(driven, size, tmp_path / "m", tmp_path / "run", shard, None, 0)
        assert all(rank[0] == "Stopped" for rank in stopped)
    assert (tmp_path / "run" / "checkpoint" / "latest").read_text() == "epoch-0-step-3"
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    close(driven(ALONE, tmp_path / "run", False)[0], whole, 1e-9)
    for found in together(driven, 2, tmp_path / "m", tmp_path / "other", True):
        close(found[0], whole, 1e-9)


@pytest.mark.slow
def test_a_sharded_run_whose_rank_was_killed_goes_on_to_the_same_end(tmp_path):
    whole = together(driven, 2, tmp_path / "a", tmp_path / "whole", True)
    # Four steps an epoch: rank 1 dies in the second.
    lost = together(driven, 2, tmp_path / "b", tmp_path / "run", True, 5, lost={1})
    assert lost[0][0] == "RankLost"
    again = together(driven, 2, tmp_path / "c", tmp_path / "run", True)
    same(whole[0][0], [again[0][0], again[1][0]])
    assert again[0][1] == whole[0][1]


# ---- what is refused


def test_one_process_has_nothing_to_share_out():
    with pytest.raises(WorldError, match="--shard needs --nproc"):
        World(sharded=True)


SHARDED = World(size=2, local_size=2, sharded=True)


@pytest.mark.parametrize(
    ("body", "options", "message"),
    [
        ("step = alternating(order = second)", {}, "differentiates through the gradients"),
        ("step = implicit(terms = 2, scale = 0.05)", {}, "`step = implicit` differentiates"),
        ("align = layers(weight = 0.1)", {}, "`align = layers` takes differences"),
        ("freeze = alignment(every = 1, below = 0.2)", {}, "`freeze = alignment` reads"),
        ("perturb = adversarial(eps = 0.03, steps = 2)", {}, "with resting weights"),
        ("select = perturbation()", {}, "`select = perturbation` rebuilds the supernet"),
        ("lora = adapters(rank = 2)", {}, "`lora` puts adapters into the supernet"),
        ("", {"precision": "fp16"}, "precision fp16 looks for overflow"),
        (
            "",
            {"profile": "balanced", "world": replace(SHARDED, batch_norm="local")},
            r"balanced has kernels that keep .* \(--profile reference or launch\)",
        ),
    ],
)
def test_what_a_sharded_run_refuses(body, options, message):
    made = plan("mine", text=f"{TEXT}\nrecipe mine extends soft {{\n  {body}\n}}\n")
    given = Options(**{"world": SHARDED, "retrain": False, **options})
    with pytest.raises(PlanError, match=f"--shard: .*{message}"):
        check_ranks(made, given)
    check_ranks(made, replace(given, world=ALONE))


def test_what_a_sharded_run_takes():
    for options in ({}, {"precision": "bf16"}, {"profile": "memory"}):
        check_ranks(plan("soft"), Options(world=SHARDED, retrain=False, **options))
