"""Every bundled recipe, whatever its step rule differentiates, is one method on one rank or two."""

import pytest
import test_every_recipe_resumes as recipes
import torch
from ranks import together
from same_runs import close, doubled, held, numbers, same

from nasdsl.oneshot.ranks.world import ALONE
from nasdsl.training.loop import drive
from nasdsl.training.run import stand_alone
from nasdsl.training.search import Search
from nasdsl.training.stand_alone import StandAlone

#: One of each way to take gradients; the others run with the slow tests.
FEW = ("darts_second", "oles", "proxyless")
#: `drop_op` draws for the images in front of it, on every rank its own.
DRAWING = ("p_darts",)


@pytest.fixture(autouse=True)
def exact():
    """Two ways to one number differ by rounding, which is nothing in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def ran(world, made):
    """What a run of a recipe holds at its end, its log, and what it says."""
    given = doubled(recipes.inputs())
    if stand_alone(made.recipe):
        task = StandAlone(
            made.space(), made.recipe, made.train, given, seed=0, device="cpu",
            limits=made.limits(), world=world,
        )  # fmt: skip
    else:
        task = Search(
            made.space(), made.recipe, given, seed=0, device="cpu",
            space_of=lambda network: made.space(network=network), profile="launch", world=world,
        )  # fmt: skip
    records = drive(task, folder=None, world=world)
    return held(task), [numbers(r) for r in records], task.result()


@pytest.mark.parametrize(
    "name",
    [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in recipes.RECIPES],
)
def test_two_ranks_search_as_one_process_does(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "none")
    rows = "".join(f"{label},{i + 1}\n" for i, label in enumerate(labels))
    (tmp_path / "latency.csv").write_text(f"op,ms\n{rows}")
    made = recipes.fitting(name)
    ranks = together(ran, 2, tmp_path / "ranks", made)
    same(ranks[0][0], [ranks[1][0]])
    assert ranks[0][1:] == ranks[1][1:]
    if name in DRAWING:
        return
    tensors, records, result = ran(ALONE, made)
    close(ranks[0][0], tensors, 1e-8)
    for found, expected in zip(ranks[0][1], records, strict=True):
        assert found == pytest.approx(expected, abs=1e-8)
    assert ranks[0][2]["genotype"] == result["genotype"]
    assert numbers(ranks[0][2]) == pytest.approx(numbers(result), abs=1e-6)
