"""Schedules reach their ends, whatever the length of the run."""

from fractions import Fraction

import pytest
from small_search import small

from nasdsl.ir.config import Schedule
from nasdsl.oneshot.session import Clock

LENGTHS = [1, 2, 50, 300]
FORMS = ["linear", "cosine", "exponential"]


@pytest.mark.parametrize("epochs", LENGTHS)
@pytest.mark.parametrize("form", FORMS)
def test_per_step_the_first_step_has_a_and_the_last_b(form, epochs):
    made = Schedule(form, Fraction(10), Fraction(1, 10))
    length = 3
    first, last = (
        Clock(0, epochs * length, length),
        Clock(epochs * length - 1, epochs * length, length),
    )
    assert first.value(made) == pytest.approx(10, abs=1e-12)
    assert last.value(made) == pytest.approx(0.1, abs=1e-12)
    # A run of one step has the end: a temperature that falls is low where it counts.
    assert Clock(0, 1, 1).value(made) == pytest.approx(0.1, abs=1e-12)


@pytest.mark.parametrize("epochs", LENGTHS)
@pytest.mark.parametrize("form", FORMS)
def test_per_epoch_a_value_is_held_and_ends_one_epoch_before_b(form, epochs):
    made = Schedule(form, Fraction(10), Fraction(1, 10), per_epoch=True)
    length = 4
    values = [
        {Clock(e * length + k, epochs * length, length).value(made) for k in range(length)}
        for e in range(epochs)
    ]
    assert all(len(v) == 1 for v in values)
    assert values[0] == {10.0}
    assert values[-1] == {made.at((epochs - 1) / epochs)}


def values(task, slot, argument):
    """What a scheduled argument is at every step of a search."""
    found = []
    task_step = task.session.parts.step
    assert task_step is not None
    for epoch in range(task.epochs):
        for k in range(task.begin(epoch)):
            task.step(epoch, k)
            session = task.session
            found.append(session.now(session.recipe.get(slot).get(argument), slot))
    return found


PHASES = """phase one {{
    epochs = 1
    {one}
  }}
  phase two {{
    epochs = 2
    {two}
  }}"""


def test_a_phase_runs_its_own_schedules_from_end_to_end():
    own = "perturb = random(eps = linear(0.1 -> 0.3))"
    found = values(small(PHASES.format(one=own, two=own)), "perturb", "eps")
    assert len(found) == 6
    assert found[0] == pytest.approx(0.1) and found[1] == pytest.approx(0.3)
    assert found[2] == pytest.approx(0.1) and found[5] == pytest.approx(0.3)


def test_a_schedule_of_the_recipe_runs_over_all_phases():
    body = "perturb = random(eps = linear(0.1 -> 0.3))\n  " + PHASES.format(one="", two="")
    found = values(small(body), "perturb", "eps")
    assert found[0] == pytest.approx(0.1) and found[-1] == pytest.approx(0.3)
    assert found == sorted(found)
    assert len(set(found)) == 6
