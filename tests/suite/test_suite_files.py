"""The suites in the library: each is planned in whole, and the small ones fit their machines."""

import re
from collections import Counter
from pathlib import Path

import pytest

from nasdsl import driver, resources
from nasdsl.suite import declaration, planning
from nasdsl.suite.cuts import cut_of
from nasdsl.suite.estimate import RATE
from nasdsl.suite.table import read

FILES = ("bench_small", "kinds", "nb201", "robustness", "split_ratios", "bench")
#: Searches, choices and retrainings.
CELLS = {
    "bench_small": (9 * 7 * 3, 0, 9 * 7 * 3),
    "kinds": (6 * 5 * 3, 0, 6 * 5 * 3),
    "nb201": (7 * 3 * 4, 0, 7 * 3 * 4),
    "robustness": (4 * 6 * 3, 0, 4 * 6 * 3),
    "datasets": (3 * 4 * 4, 0, 3 * 4 * 4),
    "fidelity": (3 * 3 * 3, 0, 3 * 3 * 3 * 3),
}
SLOW = {
    "darts_bench": (9 * 7 * 3, 9 * 7, 9 * 7 * 9),
    "robustness_splits": (4 * 3 * 7 * 3, 0, 4 * 3 * 7 * 3),
    "split_ratios": (2 * 4 * 42 * 3, 2 * 4 * 42, 2 * 4 * 42),
    "split_ratios_small": (3 * 42, 0, 3 * 42),
    "robust_l2": (4 * 4 * 3 * 3, 4 * 4 * 3, 4 * 4 * 3 * 3),
    "split_robustness": (9 * 7 * 6 * 3, 9 * 7 * 6, 9 * 7 * 6),
}


def planned(name):
    loaded = driver.load(driver.where_bundled(name, "suite"))
    return planning.plan(loaded, declaration.declared(loaded, name))


def check(name, cells):
    made = planned(name)
    planning.ready(made.cells)
    kinds = Counter(c.kind for c in made.cells)
    assert (kinds["search"], kinds["pick"], kinds["retrain"]) == cells
    assert len({c.digest for c in made.cells}) == len(made.cells)
    for c in made.cells:
        if c.kind != "pick":
            assert c.estimate["params"] > 0 and c.estimate["work"] > 0, c.title
    return made


@pytest.mark.parametrize("name", CELLS)
def test_every_suite_is_planned(name):
    check(name, CELLS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_large_suites_are_planned(name):
    check(name, SLOW[name])


def test_all_suites_of_the_library_are_tested():
    assert set(driver.index("suite")) == {*CELLS, *SLOW}
    found = {n for n in resources.listing("spaces", ".nas") if n.startswith("suites/")}
    assert found == {f"suites/{n}.nas" for n in (*FILES, "train")}


def test_the_small_suite_fits_two_cores():
    made = planned("bench_small")
    assert len({c.names["benchmark"] for c in made.cells}) == 9
    assert sum(c.estimate["work"] for c in made.cells) / RATE < 2 * 2 * 3600
    assert max(c.estimate.get("bytes") or 0 for c in made.cells) < 1e9


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("darts_bench", ()),
        ("fidelity", (("epochs", None), ("retrain", 3))),
        ("split_robustness", (("split", None),)),
        ("split_ratios", (("share", None), ("weights", None))),
    ],
)
def test_what_reports_compare_by(name, by):
    loaded = driver.load(driver.where_bundled(name, "suite"))
    assert declaration.declared(loaded, name).by == by


def test_every_cut_has_three_orders_and_both_kinds():
    """Both splits at 50, 60, 70 and 80 per cent, shuffled and stratified."""
    for name in ("split_ratios", "split_ratios_small"):
        loaded = driver.load(driver.where_bundled(name, "suite"))
        found = Counter()
        for entry in declaration.declared(loaded, name).splits:
            order = {
                "items": {"space": "single_cell", "recipe": "small_darts", "split": entry.name,
                          "dataset": "digits", "train": "small_train"},
                "parameters": {}, "seed": 0,
                "changes": {f"split.{k}": v for k, v in entry.changes},
            }  # fmt: skip
            family, share, kind, _ = cut_of(planning.run_plan(loaded, order).split)
            found[family, float(share), kind] += 1
        shares = [("search", s) for s in (0.5, 0.6, 0.7, 0.8)]
        shares += [("weights", s) for s in (0.6, 0.7, 0.8)]
        assert found == {(*s, k): 3 for s in shares for k in ("shuffled", "stratified")}


def test_kinds_of_data_stand_in_one_suite():
    made = planned("kinds")
    kinds = {c.names["space"]: c.names["dataset"] for c in made.cells}
    assert set(kinds.values()) == {"fashion16", "waveforms64", "interactions12"} and len(kinds) == 6
    assert all("dataset" not in c.order["items"] for c in made.cells)
    assert sum(c.estimate["work"] for c in made.cells) / RATE < 1800


FOUND = Path(__file__).parents[2] / "spaces" / "suites" / "found"


def test_results_in_the_library_are_whole():
    path = FOUND / "bench_small.csv"
    assert [p.name for p in FOUND.glob("*.csv")] == [path.name]  # others are to be held here, too
    found = {(r.optimizer, r.benchmark, r.setting, str(r.seed)) for r in read(path).rows}
    names = ("optimizer", "benchmark", "setting", "seed")
    cells = [c for c in planned(path.stem).cells if c.kind == "retrain"]
    assert found == {tuple(c.names[n] for n in names) for c in cells}
    report = path.with_suffix(".html").read_text(encoding="utf-8")
    assert len(report) < 3 * 2**20
    assert not re.search(r"https?:|@import|url\((?!#)|<script", report)
