"""Suites from their declaration to their results: plans, choices, runs, failures, tables."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import tiny
from click.testing import CliRunner

from nasdsl import driver
from nasdsl.cli.main import cli
from nasdsl.suite import declaration, planning, table
from nasdsl.suite.cell import Cell
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.outcome import results_of, standing
from nasdsl.suite.statistics.results import Results
from nasdsl.suite.work import picked, value_of


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "tiny.nas"
    path.write_text(tiny.TEXT)
    return path


def nasdsl(*args, code=0):
    result = CliRunner().invoke(cli, [*map(str, args)])
    assert result.exit_code == code, result.output
    return result


def planned(path, name):
    loaded = driver.load(path)
    return planning.plan(loaded, declaration.declared(loaded, name))


def stored(folder):
    store = SuiteFolder(folder).open()
    try:
        return store.all(), store.events()
    finally:
        store.close()


# ---- plans


def test_the_product_is_planned(spec):
    made = planned(spec, "both")
    assert Counter(c.kind for c in made.cells) == {"search": 8, "pick": 4, "retrain": 8}
    planning.ready(made.cells)
    assert len({c.digest for c in made.cells}) == 20
    by = {c.digest: c for c in made.cells}
    for c in made.cells:
        if c.kind == "pick":
            assert [by[n].names["seed"] for n in c.needs] == ["0", "1"]
        if c.kind == "retrain":
            assert [by[n].kind for n in c.needs] == ["pick"]
    retrain = next(c for c in made.cells if c.names.get("setting") == "short(lr = 0.1)")
    assert retrain.order["changes"] == {"train.lr": "1/10"}
    run = planning.run_plan(driver.load(spec), retrain.order)
    assert dict(dict(run.train.values)["weights"].args)["lr"].start * 10 == 1


def test_choices_after_retraining(spec):
    made = planned(spec, "after")
    by = {c.digest: c for c in made.cells}
    picks = [c for c in made.cells if c.kind == "pick"]
    assert len(picks) == 2 * 2  # recipes and settings
    for c in picks:
        assert {by[n].kind for n in c.needs} == {"retrain"}
        assert len({by[n].names["setting"] for n in c.needs}) == 1
    assert {c.names["optimizer"] for c in made.cells} == {"soft(rate = 0.01)", "soft(rate = 0.1)"}


def test_digests_follow_from_what_decides(spec, tmp_path):
    one, again = planned(spec, "both"), planned(spec, "both")
    assert [c.digest for c in one.cells] == [c.digest for c in again.cells]
    other = tmp_path / "other.nas"
    other.write_text(tiny.TEXT.replace("momentum = 0.9", "momentum = 0.8") + "\n# a comment\n")
    changed = planned(other, "both")
    for a, b in zip(one.cells, changed.cells, strict=True):
        assert (a.digest == b.digest) == (a.kind != "retrain"), a.title
    # What two suites have in common is the same work.
    every = {c.digest for c in planned(spec, "every").cells if c.kind == "search"}
    assert every < {c.digest for c in one.cells}


def test_a_plan_is_printed(spec):
    text = nasdsl("suite", "plan", spec, "--suite", "both").output
    assert "20: 8 searches, 4 choices, 8 retrainings" in text
    assert max(map(len, text.splitlines())) <= 80
    assert nasdsl("suite", "run", spec, "--suite", "both", "--dry-run").output == text
    assert not (spec.parent / "runs").exists()
    report = json.loads(nasdsl("suite", "plan", spec, "--suite", "both", "--format", "json").output)
    search = report["list"][0]["estimate"]
    assert search["work"] == 3 * 96 * 2 * search["macs"]  # passes, images, epochs
    assert search["bytes"] > 0 and search["params"] > 0


def test_what_a_suite_cannot_be_is_said(spec):
    assert "several suites" in nasdsl("suite", "plan", spec, code=1).output
    assert "no suite `bothe`; did you mean `both`?" in " ".join(
        nasdsl("suite", "plan", spec, "--suite", "bothe", code=2).output.split()
    )
    assert "has no suite" in nasdsl("suite", "plan", "quickstart", code=1).output
    spec.write_text(tiny.TEXT.replace("grid(short, lr = [0.05, 0.1])", "grid(short, batch = [8])"))
    assert {c.order["changes"]["train.batch"] for c in planned(spec, "both").cells if c.order.get("items")} == {"8"}  # fmt: skip
    assert "is no folder of a suite" in nasdsl("suite", "status", spec.parent, code=1).output


def test_changes_of_a_run(spec):
    run = nasdsl(
        "run", spec, "--recipe", "soft", "--set", "rate=0.5", "--set", "train.lr=0.3", "--dry-run"
    )
    assert "cosine(0.3 -> 0)" in run.output and "lr = 0.5" in run.output
    wrong = nasdsl("run", spec, "--recipe", "soft", "--set", "train.x=1", "--dry-run", code=1)
    assert "only epochs, batch, lr can be set here" in wrong.output


# ---- choices


def test_the_best_is_picked():
    one = Cell(
        digest="p", kind="pick", names={}, order={"choose": ["min", "search.valid.loss"]},
        needs=("a", "b", "c"),
    )  # fmt: skip
    results = {
        d: {"valid": {"loss": x, "accuracy": 90.0}, "genotype": d}
        for d, x in zip("abc", (2.0, 1.0, 1.0), strict=True)
    }
    assert picked(one, results)["genotype"] == "b"
    assert value_of(results["a"], "retrain.valid.error") == 10.0
    with pytest.raises(SuiteError, match="was not measured"):
        value_of(results["a"], "test.accuracy")


# ---- runs


def test_a_suite_runs_and_goes_on(spec, tmp_path):
    out = tmp_path / "out"
    nasdsl("-q", "suite", "run", spec, "--suite", "pair", "-o", out, "--inline")
    cells, events = stored(out)
    assert {s.state for s in cells} == {"done"}
    assert Counter(what for _, what in events) == {"started": 8, "done": 8}
    results = results_of(SuiteFolder(out).about(), cells)
    assert len(results.rows) == 2
    assert results.optimizers == ("soft", "hard")
    assert results.benchmarks == ("tiny",)
    # Again: nothing is done, even without the file it came from.
    spec.unlink()
    nasdsl("-q", "suite", "run", out, "--inline")
    assert stored(out)[1] == events
    # Results are those of the store, and go to a table and back.
    nasdsl("suite", "report", out, "--csv", tmp_path / "t.csv")
    back = table.read(tmp_path / "t.csv")
    assert isinstance(back, Results)
    assert sorted(r.value for r in back.rows) == sorted(r.value for r in results.rows)
    # The retrained network is that of the picked search, by its loss.
    by = {s.cell.digest: s for s in cells}
    for s in cells:
        if s.cell.kind == "pick":
            losses = {n: by[n].result["valid"]["loss"] for n in s.cell.needs}
            assert s.result["picked"] == min(losses, key=losses.get)
            assert s.result["genotype"] == by[s.result["picked"]].result["genotype"]
    inspected = nasdsl("inspect", out / "cells" / cells[0].cell.digest)
    assert "search" in inspected.output
    status = nasdsl("suite", "status", out).output
    assert "8 of 8 cells done" in status


def test_a_cell_that_fails_does_not_end_the_suite(spec, tmp_path):
    out = tmp_path / "out"
    run = nasdsl(
        "suite", "run", spec, "--suite", "broken", "-o", out, "--inline", "--retries", 0, code=1
    )
    assert "nowhere.npz" in run.output
    now = standing(stored(out)[0])
    assert now.counts == {
        ("search", "failed"): 1,
        ("search", "done"): 1,
        ("retrain", "pending"): 1,
        ("retrain", "done"): 1,
    }
    assert now.held == 1
    status = nasdsl("suite", "status", out).output
    assert "nowhere.npz" in status and "1 cells wait for failed ones" in status
    report = nasdsl("suite", "report", out).output
    assert "one seed per cell" in report


def test_another_suite_does_not_go_into_a_folder(spec, tmp_path):
    out = tmp_path / "out"
    loaded = driver.load(spec)
    from nasdsl.suite.folder import create

    create(out, loaded, planned(spec, "both"))
    create(out, loaded, planned(spec, "both"))
    with pytest.raises(SuiteError, match="another suite"):
        create(out, loaded, planned(spec, "every"))
