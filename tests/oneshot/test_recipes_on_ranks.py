"""Every bundled recipe, whatever its step rule differentiates, is one method on one rank or two."""

from dataclasses import replace

import pytest
import test_every_recipe_resumes as recipes
import torch
from ranks import together
from same_runs import close, doubled, held, numbers, same

from nasdsl.oneshot.ranks.world import ALONE
from nasdsl.training.loop import drive
from nasdsl.training.run import stand_alone
from nasdsl.training.search import Search
from nasdsl.training.sharded import of_recipe
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


def ran(world, made, sharded=False):
    """What a run of a recipe holds at its end, its log, and what it says."""
    world = replace(world, sharded=sharded)
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


def in_place(folder, monkeypatch):
    """Go where the files are that some recipes read."""
    monkeypatch.chdir(folder)
    labels = ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "none")
    rows = "".join(f"{label},{i + 1}\n" for i, label in enumerate(labels))
    (folder / "latency.csv").write_text(f"op,ms\n{rows}")


@pytest.mark.parametrize(
    "name",
    [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in recipes.RECIPES],
)
def test_two_ranks_search_as_one_process_does(name, tmp_path, monkeypatch):
    in_place(tmp_path, monkeypatch)
    made = recipes.fitting(name)
    agree(made, together(ran, 2, tmp_path / "ranks", made), drawing=name in DRAWING)


@pytest.mark.slow
@pytest.mark.parametrize("name", recipes.RECIPES)
def test_two_sharded_ranks_search_as_one_process_does(name, tmp_path, monkeypatch):
    """As far as they do not refuse it."""
    in_place(tmp_path, monkeypatch)
    made = recipes.fitting(name)
    if not stand_alone(made.recipe) and of_recipe(made.recipe) is not None:
        pytest.skip(f"sharded runs refuse it: {of_recipe(made.recipe)}")
    agree(made, together(ran, 2, tmp_path / "ranks", made, True), drawing=name in DRAWING)


def agree(made, ranks, drawing):
    """Ranks are the same to the last bit, and one process to rounding, where none draws its own."""
    same(ranks[0][0], [ranks[1][0]])
    assert ranks[0][1:] == ranks[1][1:]
    if drawing:
        return
    tensors, records, result = ran(ALONE, made)
    close(ranks[0][0], tensors, 1e-8)
    for found, expected in zip(ranks[0][1], records, strict=True):
        assert found == pytest.approx(expected, abs=1e-8)
    assert ranks[0][2]["genotype"] == result["genotype"]
    assert numbers(ranks[0][2]) == pytest.approx(numbers(result), abs=1e-6)
