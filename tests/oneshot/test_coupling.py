"""Tightly coupled step rules against monolithic loops of the same seed."""

from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from nasdsl.cli.main import cli
from nasdsl.training.coupling import alignment, bilevel, greedy, problem, rules, temperature
from nasdsl.training.coupling.plain import Plain

RULES = {r.name: r for r in rules.RULES}


@pytest.mark.parametrize("name", RULES)
def test_a_whole_search_is_the_plain_loop(name):
    found = rules.compare(RULES[name])
    assert found.steps >= 8
    assert found.weights < 1e-10 and found.alphas < 1e-10
    assert found.moved > 1e-3 and found.agree


@pytest.mark.parametrize(
    ("name", "loop"),
    [
        ("darts", bilevel.second_order),
        ("darts_second", bilevel.first_order),
        ("idarts", bilevel.first_order),
        ("oles", bilevel.first_order),
        ("single_level", bilevel.first_order),
    ],
)
def test_another_rule_is_told_apart(name, loop):
    found = rules.compare(replace(RULES[name], loop=loop))
    assert max(found.weights, found.alphas) > 10 * rules.TOLERANCE
    assert not found.agree


def test_a_loop_that_never_moves_does_not_agree():
    assert not rules.compare(replace(RULES["darts"], loop=lambda task: None)).agree


def loops(name, kind):
    rule = RULES[name]
    plain = kind(problem.search(rule.body, space=rule.space))
    plain.search()
    return plain


def test_the_loops_do_what_their_methods_are_about():
    """An agreement of rules that never act would show nothing."""
    sgas = loops("sgas", greedy.PlainSgas)
    assert {name: len(cell.chosen) for name, cell in sgas.cells.items()} == {
        "normal": 4,
        "reduce": 4,
    }
    assert all(not cell.flags.any() for cell in sgas.cells.values())
    oles = loops("oles", alignment.PlainOles)
    assert 0 < len(oles.frozen) < len(oles.groups)
    heats = loops("tempered", temperature.PlainTempered).heats
    assert heats[:2] == [1.0, 1.0] and len(set(heats[2:])) == 6


def test_a_number_that_is_none_is_no_agreement():
    nan = torch.tensor([float("nan")])
    assert rules._farthest([(nan, nan), (torch.ones(1), torch.ones(1))]) == float("inf")


def test_the_loop_has_the_rate_of_its_recipe():
    task = problem.search("epochs = 4")
    plain = Plain(problem.search("epochs = 4"))
    assert plain.steps == 8
    for epoch in range(task.epochs):
        for k in range(task.begin(epoch)):
            task.step(epoch, k)
            rate = task.session.weight_optimizer.param_groups[0]["lr"]
            assert plain.rate(2 * epoch + k) == pytest.approx(rate, abs=1e-15)
        task.epoch_record(epoch)


def test_the_command_runs_them_and_says_where_they_differ(monkeypatch):
    made = CliRunner().invoke(cli, ["-q", "validate", "coupling", "darts", "oles"])
    assert made.exit_code == 0, made.output
    assert made.output.count("same\n") == 2 and "darts_second" not in made.output
    unknown = CliRunner().invoke(cli, ["validate", "coupling", "dart"])
    assert unknown.exit_code == 2 and "did you mean `darts`" in unknown.output
    wrong = (replace(RULES["darts"], loop=bilevel.second_order),)
    monkeypatch.setattr(rules, "RULES", wrong)
    made = CliRunner().invoke(cli, ["-q", "validate", "coupling"])
    assert made.exit_code == 1 and "DIFFERENT" in made.output
