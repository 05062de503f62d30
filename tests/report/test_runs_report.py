"""Runs beside each other: lists, differences and comparisons of folders that are written here."""

import json
import statistics

import pytest
from click.testing import CliRunner

from nasdsl.cli.main import cli
from nasdsl.training.record import RunFolder


def folder(place, name, *, recipe="darts", seed=0, test=None, valid=60.0, status="done", lr="0.1"):
    made = RunFolder(place / name)
    made.write(
        "run.json",
        {
            "schema": 1,
            "items": {
                k: {"name": n, "file": "f.nas"}
                for k, n in (
                    ("space", "tiny"), ("recipe", recipe), ("dataset", "fashion16"),
                    ("split", "disjoint_halves"), ("train", "quick"),
                )
            },
            "parameters": {"C": "4"},
            "changes": {},
            "seed": seed,
            "space_digest": "abc",
            "recipe": {"epochs": "3", "weights": f"sgd(lr = {lr})"},
            "started": "2026-01-02T03:04:05Z",
            "status": status,
        },
    )  # fmt: skip
    made.write_text("log.jsonl", '{"epoch": 1}\n{"epoch": 2}\n')
    if status == "done":
        made.write(
            "result.json",
            {
                "genotype": {"space": "tiny", "picks": [["a", "skip"], ["b", f"conv{seed}"]]},
                "text": f"skip conv{seed}",
                "valid": {"loss": 1.0, "accuracy": valid},
                "valid_discrete": {"loss": 2.0, "accuracy": valid - 5},
                "discretization_gap": 5.0,
                "seconds": 7,
            },
        )
    if test is not None:
        made.write("retrain/result.json", {"test": {"loss": 1.0, "accuracy": test}, "params": 99})
    return made.path


@pytest.fixture
def place(tmp_path):
    for seed, test in enumerate((80.0, 82.0, 87.0)):
        folder(tmp_path, f"run-{seed}", seed=seed, test=test, valid=60.0 + seed)
    folder(tmp_path, "other-with-a-name-that-is-quite-long", recipe="gdas", test=70.0)
    folder(tmp_path, "stopped", recipe="gdas", seed=1, status="stopped")
    return tmp_path


def runs(*args, code=0):
    result = CliRunner().invoke(cli, ["runs", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    if "json" not in args:
        # A folder that was named is as long as it is.
        named = [str(a) for a in args if "/" in str(a)]
        lines = [x for x in result.output.splitlines() if not any(name in x for name in named)]
        assert lines and all(len(line) <= 80 for line in lines), result.output
    return result.output


def test_a_list_has_a_line_for_each_run(place):
    text = runs("list", place)
    assert len(text.splitlines()) == 6
    assert "stopped" in text and "82.00" in text and "quite-long" in text
    found = json.loads(runs("list", place, "--format", "json"))["runs"]
    assert [r["status"] for r in found] == ["done"] * 4 + ["stopped"]
    assert {r["epochs"] for r in found} == {2}
    assert runs("list", place / "run-1").count("\n") == 2


def test_a_damaged_run_is_listed_as_such(place):
    (place / "run-1/result.json").write_text("{")
    assert "damaged" in runs("list", place)
    assert "is damaged" in CliRunner().invoke(cli, ["runs", "compare", str(place)]).output


def test_a_comparison_has_mean_and_deviation_over_seeds(place):
    report = json.loads(runs("compare", place, "--format", "json"))
    groups = {g["recipe"]: g for g in report["groups"]}
    darts = groups["darts"]
    assert darts["seeds"] == [0, 1, 2] and darts["genotypes"] == 3
    found = darts["results"]["test"]
    assert found["mean"] == pytest.approx(statistics.mean([80, 82, 87]), abs=1e-12)
    assert found["deviation"] == pytest.approx(statistics.stdev([80, 82, 87]), abs=1e-12)
    assert found["n"] == 3
    gdas = groups["gdas"]
    assert gdas["unfinished"] == 1 and gdas["results"]["test"] == {
        "n": 1, "mean": 70.0, "deviation": None,
    }  # fmt: skip
    text = runs("compare", place)
    assert "83.00 +- 3.61" in text and "1 unfinished" in text


def test_a_difference_names_settings_results_and_picks(place):
    other = folder(place, "lr", lr="0.2", test=81.0, seed=0)
    report = json.loads(runs("diff", place / "run-0", other, "--format", "json"))
    assert report["settings"] == [
        {"name": "recipe.weights", "a": "sgd(lr = 0.1)", "b": "sgd(lr = 0.2)"}
    ]
    assert report["results"]["test"] == {"a": 80.0, "b": 81.0}
    assert report["architecture"] == {"same": True, "a": [], "b": []}
    text = runs("diff", place / "run-0", other)
    assert "+1.00" in text and "architecture: the same" in text
    seeds = runs("diff", place / "run-0", place / "run-1")
    assert "seed" in seeds and "conv0" in seeds and "conv1" in seeds


def test_a_run_is_its_own_equal(place):
    assert "settings: the same" in runs("diff", place / "run-0", place / "run-0")


def test_nothing_to_compare_is_said(tmp_path):
    assert runs("list", tmp_path) == "no runs\n"
    runs("compare", tmp_path, code=2)


def test_showing_a_run_is_inspecting_it(place):
    text = CliRunner().invoke(cli, ["inspect", str(place / "run-0")]).output
    assert runs("show", place / "run-0") == text
