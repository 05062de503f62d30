"""The suites in the library: each is planned in whole, and the small ones fit their machines."""

from collections import Counter

import pytest

from nasdsl import driver, resources
from nasdsl.suite import declaration, planning
from nasdsl.suite.estimate import RATE

FILES = ("bench_small", "nb201", "robustness", "split_ratios", "bench")
#: Searches, choices and retrainings.
CELLS = {
    "bench_small": (9 * 7 * 3, 0, 9 * 7 * 3),
    "nb201": (7 * 3 * 4, 0, 7 * 3 * 4),
    "robustness": (4 * 6 * 3, 0, 4 * 6 * 3),
    "datasets": (3 * 4 * 4, 0, 3 * 4 * 4),
    "fidelity": (3 * 3 * 3, 0, 3 * 3 * 3 * 3),
}
SLOW = {
    "darts_bench": (9 * 7 * 3, 9 * 7, 9 * 7 * 9),
    "robustness_splits": (4 * 3 * 7 * 3, 0, 4 * 3 * 7 * 3),
    "split_ratios": (2 * 4 * 24 * 3, 2 * 4 * 24, 2 * 4 * 24),
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
    ("file", "name", "unread"),
    [
        ("suites/bench.nas", "darts_bench", ()),
        ("suites/bench.nas", "fidelity", ("spearman(by = epochs)", "precision_at(10)")),
        ("suites/split_ratios.nas", "split_ratios", ("kendall_tau(by = split)",)),
    ],
)
def test_what_no_report_has_is_said(file, name, unread):
    assert declaration.declared(driver.load(file), name).unread == unread
