"""Components that do not go together are told when a file is checked, and all others compose."""

import itertools

import pytest
from small_runs import plan, search
from small_search import HEAD, TEXT, recipe, steps

from nasdsl import driver
from nasdsl.diagnostics.model import CompileError
from nasdsl.ir import compatibility
from nasdsl.ir.config import Word
from nasdsl.ir.expression import CostError
from nasdsl.passes.edges import PassError
from nasdsl.source import Source
from nasdsl.training.plan import PlanError, refused
from nasdsl.training.run import stand_alone

HARD = "sampler = gumbel(tau = 1, hard = true)\n  "
NONE = "arch = none\n  step = weights_only\n  sampler = uniform_path\n  select = none\n  "
CONFLICTS = [
    ("sampler = uniform_path", "sampler", "step"),
    ("sampler = fair_path\n  step = joint", "sampler", "step"),
    ("arch = none", "arch", "step"),
    ("step = weights_only", "step", "arch"),
    ("weights = adam(1e-3)\n  step = alternating(order = second)", "weights", "step"),
    (HARD + "perturb = random(eps = 0.1)", "perturb", "sampler"),
    ("step = joint\n  perturb = random(eps = 0.1)", "step", "perturb"),
    (HARD + "mix = dropout(0.1)", "mix", "sampler"),
    ("sampler = reinmax(tau = 1)\n  mix = attention", "mix", "sampler"),
    ("step = joint\n  freeze = alignment(below = 0.4)", "freeze", "step"),
    ("step = alternating(order = unrolled)\n  freeze = alignment(below = 0.4)", "freeze", "step"),
    (HARD + "align = layers(0.1)", "align", "sampler"),
    ("regularize = drnas_kl(1)", "regularize", "sampler"),
    ("regularize = zero_one(10)", "regularize", "sampler"),
    ("sampler = sigmoid\n  regularize = flops(1)", "regularize", "sampler"),
    (HARD + "regularize = entropy(1)", "regularize", "sampler"),
    ("regularize = beta(1, on = weights)", "regularize", "weights"),
    ("regularize = beta(1) + beta(2)", "regularize", "regularize"),
    ("mix = dropout(0.1) + dropout(0.2)", "mix", "mix"),
    (HARD + "stop = eigenvalue", "stop", "sampler"),
    ("step = tempered", "step", "sampler"),
    ("step = tempered(memory = 1)\n  sampler = gumbel(tau = 1)", "step", "step"),
]


def checked(body):
    with pytest.raises(CompileError) as caught:
        driver.load(Source.of("f.nas", recipe(body)))
    return caught.value.diagnostics


@pytest.mark.parametrize(("body", "first", "other"), CONFLICTS, ids=[c[0] for c in CONFLICTS])
def test_a_conflict_is_a_diagnostic_at_a_slot_of_the_recipe(body, first, other):
    found = [d for d in checked(body) if d.code == "E336"]
    assert found
    pairs = [{s for s in (first, other) if f"`{s}`" in d.message} for d in found]
    assert {first, other} in pairs
    for diagnostic in found:
        # The place is a slot that the recipe itself sets, not one of its parents.
        assert diagnostic.span.source.name == "f.nas"
        line = diagnostic.span.source.text[: diagnostic.span.start].rpartition("\n")[2]
        assert line.strip() == ""
        assert diagnostic.span.text.split(".")[0] in body


def test_the_order_of_slots_does_not_matter():
    parts = ["sampler = gumbel(tau = 1, hard = true)", "perturb = random(eps = 0.1)"]
    messages = set()
    for order in itertools.permutations(parts):
        (only,) = checked("\n  ".join(order))
        messages.add((only.message, only.span.text))
    assert len(messages) == 1


def test_each_phase_is_looked_at_with_the_recipe_behind_it():
    good = "phase a {{ epochs = 1 }}\n  phase b {{\n    epochs = 1\n    {}\n  }}"
    found = checked(good.format("arch = none"))
    assert [d.code for d in found] == ["E336"]
    assert found[0].help == "in phase `b`"
    text = recipe(good.format("arch = none\n    step = weights_only\n    sampler = uniform_path"))
    # The selection of the last phase has no alphas to read.
    with pytest.raises(CompileError, match="select"):
        driver.load(Source.of("f.nas", text))


def test_what_is_changed_by_a_run_is_looked_at_again():
    """`refused` sees the recipe as a run has it; a conflict there names both slots."""
    made = plan("mine", text=recipe("perturb = random(eps = 0.1)"))
    assert refused(made.recipe) == []
    values = tuple((s, v if s != "step" else v.__class__("joint")) for s, v in made.recipe.values)
    from dataclasses import replace

    (reason,) = refused(replace(made.recipe, values=values))
    assert "`perturb` and `step` do not go together" in reason


@pytest.mark.parametrize("definition", ["recipe second extends base.darts {}", "let second = 3"])
def test_a_word_of_a_list_wins_over_a_definition_of_that_name(definition):
    text = f"{TEXT}{HEAD}{definition}\nrecipe mine extends base_run {{\n  step = alternating(order = second)\n}}\n"
    made = plan("mine", text=text)
    assert made.recipe.get("step").get("order") == Word("second")
    changed = text.replace("step = alternating(order = second)", "step.order = second")
    assert plan("mine", text=changed).recipe.get("step").get("order") == Word("second")


RECIPES = sorted(driver.index("recipe"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_bundled_recipe_goes_together_and_runs_or_says_why_not(name):
    file = driver.where_bundled(name, "recipe")
    loaded = driver.load(file)
    settings = loaded.program.settings("recipe", name)
    for _, stretch in compatibility.stretches(settings):
        assert compatibility.conflicts(stretch) == ()
    text = (
        f'{TEXT}import "{file}" as theirs\nrecipe mine extends theirs.{name} {{\n  batch = 8\n}}\n'
    )
    try:
        made = plan("mine", text=text)
    except PlanError as error:
        assert "does not run it" in str(error)
        return
    except CompileError as error:
        # It needs a parameter of the network or a candidate that the tiny space has not.
        assert {d.code for d in error.diagnostics} <= {"E331", "E336"}
        return
    if stand_alone(made.recipe):
        return
    try:
        task = search(made)
    except (PassError, CostError) as error:
        # It needs options or a table that the tiny space has not.
        assert str(error)
        return
    steps(task, 2)
    record = task.epoch_record(0)
    assert record["genotype"]
    assert task.result()["genotype"]


@pytest.mark.parametrize(
    "name", ["robust_darts", "robust_darts_l2", "robust_darts_es", "robust_darts_ada", "skip_stop"]
)
def test_the_robust_recipes_run_a_whole_epoch_with_drop_path(name):
    text = (
        f'{TEXT}import "recipes/robust.nas" as theirs\n'
        f"recipe mine extends theirs.{name} {{\n  batch = 8\n  epochs = 2\n"
        f"  drop_path = linear(0 -> 0.2)\n  stop.start = 1\n}}\n"
    )
    if name in ("robust_darts", "robust_darts_l2"):
        text = text.replace("  stop.start = 1\n", "")
    made = plan("mine", text=text)
    task = search(made)
    for epoch in range(2):
        for k in range(task.begin(epoch)):
            task.step(epoch, k)
        record = task.epoch_record(epoch)
        assert record["train"]["loss"] == record["train"]["loss"]
    assert task.session.supernet.droppable
    assert task.result()["genotype"]
