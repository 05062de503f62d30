"""Steps in bf16 and fp16 on several ranks are those of one process, to the roundings of the type."""

import numpy as np
import pytest
import torch
from ranks import together
from small_runs import inputs, plan, run
from test_ranks import mix_of

from nasdsl.ir import discretize
from nasdsl.oneshot.precision import Numerics
from nasdsl.oneshot.ranks.batch_norm import batch_norm, mean
from nasdsl.oneshot.ranks.world import ALONE
from nasdsl.training.retrain import Retrain
from nasdsl.training.search import Search

#: Half a unit in the last place of each type, relative.
ROUNDING = {"bf16": 2**-8, "fp16": 2**-11}


def moves(weights, start):
    """All moves of parameters since the start in one vector."""
    return torch.cat([(w.detach() - start[n]).flatten() for n, w in weights.items()]).numpy()


def searched(world, precision, steps, recipe="soft"):
    """Moves of weights and alphas of a search, its losses by epoch, and the scale of fp16."""
    made = plan(recipe, space="bench")
    task = Search(
        made.space(), made.recipe, inputs(32 * max(1, steps // 2)), seed=0, device="cpu",
        world=world, numerics=Numerics(precision=precision),
    )  # fmt: skip
    session = task.session
    start = {n: t.detach().clone() for n, t in {**session.weights, **session.alphas}.items()}
    losses = [r[half]["loss"] for r in run(task, steps) for half in ("train", "valid")]
    scale = float(task.scaler.scale) if task.scaler is not None else None
    return moves(session.weights, start), moves(session.alphas, start), losses, scale


def retrained(world, precision, steps):
    """Moves of the weights of a retraining."""
    made = plan(space="bench", **{"train.batch": 16})
    picked = discretize.argmax(made.space(), mix_of(made.space()))
    task = Retrain(
        made.space(picked).target, made.train, inputs(64), seed=0, device="cpu", world=world,
        numerics=Numerics(precision=precision),
    )  # fmt: skip
    start = {n: t.detach().clone() for n, t in task.weights.items()}
    task.begin(0)
    for k in range(steps):
        task.step(0, k)
    return moves(task.weights, start)


def off(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def normalised(world, kind):
    """Batch-norm of a rank's part of some images in `kind`, its statistics, and a mean."""
    draw = torch.Generator().manual_seed(0)
    x = (torch.randn((8, 3, 4, 4), generator=draw) * 3 + 20).to(kind)
    weight, bias = torch.rand(3, generator=draw), torch.rand(3, generator=draw)
    mu, var = torch.zeros(3), torch.ones(3)
    part = x[world.part(8)]
    if world is ALONE:
        y = torch.batch_norm(x, weight, bias, mu, var, True, 0.1, 1e-5, False)
        average = x[:, :, 0, 0].float().mean(0).to(kind)
    else:
        y, average = batch_norm(part, mu, var, weight, bias, True), mean(part[:, :, 0, 0])
    assert [each.dtype for each in (y, mu, var, average)] == [kind, *[torch.float32] * 2, kind]
    return [each.float().numpy() for each in (y, mu, var, average)]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_batch_norm_in_few_digits_has_the_statistics_of_float32(kind, tmp_path):
    """Far from zero, where sums in the type itself would have lost everything."""
    whole, *expected = normalised(ALONE, kind)
    ranks = together(normalised, 2, tmp_path, kind)
    found = np.concatenate([r[0] for r in ranks])
    np.testing.assert_allclose(found, whole, rtol=2 * torch.finfo(kind).eps, atol=1e-2)
    for _, *statistics in ranks:
        for one, other in zip(statistics, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_step_on_two_ranks_is_that_of_one_process_as_far_as_the_precision_goes(
    precision, tmp_path
):
    """Two ways to round are apart as each is from float32: gradients by the root of a rounding,
    as one now and then turns a rectifier or the winner of a maximum."""
    plain, alone = searched(ALONE, "float32", 1), searched(ALONE, precision, 1)
    ranks = together(searched, 2, tmp_path, precision, 1)
    for found in ranks:
        assert 0 < off(found[0], plain[0]) < 5 * ROUNDING[precision] ** 0.5
        assert off(found[0], alone[0]) < 5 * ROUNDING[precision] ** 0.5
        assert found[3] == alone[3]
    assert all(np.array_equal(a, b) for a, b in zip(ranks[0][:2], ranks[1][:2], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_twenty_steps_on_two_ranks_go_the_way_of_one_process(precision, tmp_path):
    plain, alone = searched(ALONE, "float32", 20), searched(ALONE, precision, 20)
    for found in together(searched, 2, tmp_path, precision, 20):
        # No farther from float32 than one process is, but for chance.
        assert off(found[0], plain[0]) < 2 * off(alone[0], plain[0])
        # Mean losses of epochs, which roundings change by a few percent after so many steps.
        assert found[2] == pytest.approx(plain[2], rel=0.05)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_retraining_on_two_ranks_is_that_of_one_process_as_far_as_the_precision_goes(
    precision, tmp_path
):
    plain = retrained(ALONE, "float32", 1)
    ranks = together(retrained, 2, tmp_path, precision, 1)
    assert 0 < off(ranks[0], plain) < 5 * ROUNDING[precision] ** 0.5
    assert np.array_equal(ranks[0], ranks[1])
