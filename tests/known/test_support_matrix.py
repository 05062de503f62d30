"""Bundled recipes on bundled spaces: a cell runs or says why not; none fails."""

import importlib.util
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "support_matrix.py"


def tool():
    spec = importlib.util.spec_from_file_location("support_matrix", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


MATRIX = tool()
RECIPES, SPACES = MATRIX.recipes(), MATRIX.spaces()
#: One small space per kind of decision; recipes go round over them.
SMALL = ("nasbench201", "nasbench101", "one_edge", "nasbench_macro", "tnb101_segment", "gpt_small")


def names(pair):
    return pair[0]


def fine(recipe, space):
    (found,) = MATRIX.apart(recipe, [space])
    assert found.state != MATRIX.FAULT, found.message
    assert (found.state == MATRIX.OK) == (found.message == "")
    return found


def test_there_are_enough():
    assert len(RECIPES) >= 25 and len(SPACES) >= 20


@pytest.mark.parametrize("index", range(0, len(RECIPES), 3))
def test_a_sample_runs_or_is_refused_with_a_reason(index):
    space = next(s for s in SPACES if s[0] == SMALL[index // 3 % len(SMALL)])
    fine(RECIPES[index], space)


def test_darts_runs_and_what_needs_other_data_is_refused():
    darts = next(r for r in RECIPES if r[0] == "darts")
    by_name = dict(SPACES)
    assert fine(darts, ("one_edge", by_name["one_edge"])).state == MATRIX.OK
    assert fine(darts, ("conv1d", by_name["conv1d"])).state == MATRIX.OK
    assert "takes tokens" in fine(darts, ("gpt_small", by_name["gpt_small"])).message


def test_a_cell_that_takes_its_process_down_is_a_fault(monkeypatch):
    import os

    def dies(recipe, space):
        if space == SPACES[1]:
            os._exit(7)
        return MATRIX.Outcome(recipe=recipe[0], space=space[0], state=MATRIX.OK)

    monkeypatch.setattr(MATRIX, "cell", dies)
    found = MATRIX.apart(RECIPES[0], SPACES[:3])
    assert [f.state for f in found] == [MATRIX.OK, MATRIX.FAULT, MATRIX.OK]
    assert [f.space for f in found] == [s[0] for s in SPACES[:3]]
    assert "ended with 7" in found[1].message


def test_the_page_counts_and_names_reasons():
    cells = [
        MATRIX.Outcome(recipe="a", space="s", state=MATRIX.OK),
        MATRIX.Outcome(recipe="a", space="t", state="E331", message="no | bar"),
        MATRIX.Outcome(recipe="b", space="s", state="E331", message="no | bar"),
        MATRIX.Outcome(recipe="b", space="t", state=MATRIX.FAULT, message="boom"),
    ]
    text = MATRIX.page(cells)
    assert "2 recipes on 2 spaces: 1 cells run, 2 are refused, 1 fail." in text
    assert "| `a` | ok | E331.1 |" in text and "| `b` | E331.1 | FAULT.2 |" in text
    assert "no \\| bar" in text


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("recipe", RECIPES, ids=names)
def test_every_cell(recipe):
    for space in SPACES:
        fine(recipe, space)
