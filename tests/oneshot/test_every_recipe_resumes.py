"""Every bundled recipe searches to its end, and goes on from any checkpoint as if never stopped."""

import os
import random
import signal
from fractions import Fraction

import pytest
import torch
from small_runs import TEXT, equal_states, inputs, plan

from nasdsl import driver
from nasdsl.diagnostics.model import CompileError
from nasdsl.ir.config import Component
from nasdsl.ir.expression import CostError
from nasdsl.passes.edges import PassError
from nasdsl.training.interrupt import Stopped
from nasdsl.training.loop import drive
from nasdsl.training.run import stand_alone
from nasdsl.training.search import Search
from nasdsl.training.stand_alone import StandAlone

RECIPES = sorted(
    name for name, file in driver.index("recipe").items() if file.startswith("recipes/")
)
#: Tried in this order: recipes need options, stages or sizes that a space must have.
SPACES = ("tiny", "full", "mobile", "bench")
MORE = """
from "mobile.nas" import nasbench_macro

space full extends darts {
  C      = 4
  layers = 3
  nodes  = 1
  data   = dots
  cell normal {
    out x[1]
  }
  target {}
}

space mobile extends nasbench_macro {
  C    = 4
  data = dots
}
"""
#: Architectures that a selection asks about, by the arguments that say so.
FEWER = {"samples": 3, "population": 3, "rounds": 1, "parents": 2, "crossover": 1, "mutation": 1}


@pytest.fixture(autouse=True)
def one_thread():
    """What a forked process computes is what this one does."""
    was = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(was)


def killed(made, folder, after):
    """Run in a process that is killed (`kill -9`) after some steps; whether it got so far."""
    process = os.fork()
    if process == 0:
        left = after

        def watch(moment):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            torch.set_num_threads(1)
            drive(task_of(made), folder=folder, watch=watch)
            os._exit(0)
        finally:  # whatever was raised: this process is not pytest's
            os._exit(1)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def small(name, space):
    """The plan of a bundled recipe with two epochs, or one of each phase."""
    file = driver.where_bundled(name, "recipe")
    made = driver.load(file).program.settings("recipe", name)
    less = ["batch = 8"]
    select = made.get("select")
    for slot, count in FEWER.items():
        if isinstance(select, Component) and isinstance(select.get(slot), Fraction):
            less.append(f"select.{slot} = {count}")
    if isinstance(select, Component) and select.name == "halving":
        less.append("select.epochs = [1, 2]")
    if stand_alone(made):
        less.append("step.epochs = 2")
    elif made.phases:
        less += [f"phase {phase} {{\n  epochs = 1\n  }}" for phase, _ in made.phases]
    else:
        less.append("epochs = 2")
    body = "\n  ".join(less)
    text = (
        f'{TEXT}{MORE}import "{file}" as theirs\n'
        f"recipe mine extends theirs.{name} {{\n  {body}\n}}\n"
    )
    return plan("mine", text=text, space=space)


def task_of(made):
    if stand_alone(made.recipe):
        return StandAlone(
            made.space(), made.recipe, made.train, inputs(), seed=0, device="cpu",
            limits=made.limits(),
        )  # fmt: skip
    return Search(
        made.space(), made.recipe, inputs(), seed=0, device="cpu",
        space_of=lambda network: made.space(network=network),
    )  # fmt: skip


def fitting(name):
    """The plan of a recipe on the first space that has what it needs."""
    reasons = []
    for space in SPACES:
        try:
            made = small(name, space)
            task_of(made)
            return made
        except (CompileError, PassError, CostError) as error:
            reasons.append(str(error))
    pytest.fail("\n".join(reasons))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_goes_on_from_every_step_and_from_a_death(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "none")
    rows = "".join(f"{label},{i + 1}\n" for i, label in enumerate(labels))
    (tmp_path / "latency.csv").write_text(f"op,ms\n{rows}")
    made = fitting(name)
    whole = task_of(made)
    records = drive(whole, folder=tmp_path / "whole")
    assert whole.result()["genotype"]

    stops = 0
    while True:
        task = task_of(made)
        try:
            drive(task, folder=tmp_path / "stopped", wall_limit=0)
            break
        except Stopped:
            stops += 1
    assert stops > 1
    assert equal_states(whole, task)
    assert task.result() == whole.result()

    draw = random.Random(name)
    deaths = sum(killed(made, tmp_path / "dead", draw.randrange(1, 4)) for _ in range(2))
    assert deaths
    task = task_of(made)
    drive(task, folder=tmp_path / "dead")
    assert equal_states(whole, task)
    assert task.result() == whole.result()
    lines = [(tmp_path / n / "log.jsonl").read_text().splitlines() for n in ("whole", "dead")]
    assert len(lines[0]) == len(lines[1]) == len(records)
