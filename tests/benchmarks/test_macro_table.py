"""NAS-Bench-Macro's table is the published one, and says what its authors said."""

import hashlib
import json
from statistics import fmean, pstdev

import pytest
from scipy.stats import spearmanr

from nasdsl.benchmarks import macro
from nasdsl.benchmarks.macro_table import TableError, canonical, parse, rows
from nasdsl.benchmarks.standing import best, spearman, standing

#: SHA-256 of `json.dumps(published, sort_keys=True)`, the authors' nas-bench-macro_cifar10.json.
PUBLISHED = "ae0be4ee778075994e0cdc4d4ac7b0e8a81e0cf43308b4955ca35f548a76d725"


def test_every_published_value_comes_back_exactly():
    table = {
        r.key: {
            "test_acc": list(r.test),
            "mean_acc": r.mean,
            "std": r.std,
            "params": r.params,
            "flops": r.flops,
        }
        for r in rows().values()
    }
    assert len(table) == 3**8
    text = json.dumps(table, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == PUBLISHED


def test_three_rows_of_the_published_file():
    row = rows()["02012100"]
    assert row.test == (89.47000122070312, 88.94999694824219, 89.16999816894531)
    assert (row.mean, row.std) == (89.19666544596355, 0.21312667374448538)
    assert (row.params, row.flops) == (890666, 47327744)
    assert (rows()["11111221"].params, rows()["11111221"].flops) == (2181386, 65012224)
    assert rows()["00011110"].mean == 85.2766621907552


def test_one_network_stands_for_all_keys_that_differ_in_where_identities_are():
    assert canonical("01012100") == "01012100"
    assert canonical("00001002") == "00010020"
    assert canonical("21200102") == "21200120"
    table = rows()
    assert len({canonical(k) for k in table}) == 9 * 21 * 21 == 3969
    for key, row in table.items():
        twin = table[canonical(key)]
        assert (row.test, row.params, row.flops) == (twin.test, twin.params, twin.flops)


def test_parameters_and_multiply_adds_of_the_smallest_network_by_hand():
    stem, downs = 3 * 32 * 9, [32 * 64, 64 * 128, 128 * 256]
    out, linear = 256 * 1280, 1280 * 10
    norms = 2 * (32 + 64 + 128 + 256 + 1280)
    row = rows()["00000000"]
    assert row.params == stem + sum(downs) + out + linear + 10 + norms
    sides = [16, 8, 4]
    multiply_adds = stem * 32**2 + sum(w * s**2 for w, s in zip(downs, sides, strict=True))
    assert row.flops == multiply_adds + out * 4**2 + linear


def test_the_best_network_is_the_authors():
    found = best(macro.opened().records(dataset="cifar10"))
    means = {key: fmean(row.test) for key, row in rows().items()}
    highest = max(means.values())
    assert {k for k, m in means.items() if abs(m - highest) < 1e-9} == {"22212202", "22212220"}
    assert found.record.key == "22212202" and found.ties == 1
    assert found.record.mean == pytest.approx(93.12666320800781, abs=1e-12)
    assert found.record.params == 1985514
    # The table has no validation column: choosing by test results is said.
    assert found.column == "mean test accuracy (it has no validation column)"


def test_parameters_and_accuracy_correlate_as_scipy_says():
    params = [r.params for r in rows().values()]
    means = [r.mean for r in rows().values()]
    ours = spearman(params, means)
    assert ours == pytest.approx(spearmanr(params, means).statistic, abs=1e-12)
    assert round(ours, 4) == 0.3179


def test_mean_and_deviation_are_of_the_runs():
    for row in list(rows().values())[::97]:
        assert row.mean == pytest.approx(fmean(row.test), abs=1e-12)
        assert row.std == pytest.approx(pstdev(row.test), abs=1e-12)


@pytest.mark.parametrize("key", ["22212220", "00000000", "01210210"])
def test_a_standing_counts_the_better_and_the_equal(key):
    opened = macro.opened()
    record = opened.record(key, dataset="cifar10")
    found = standing(record, opened.records(dataset="cifar10"))
    means = sorted((r.mean for r in rows().values()), reverse=True)
    assert found.of == 6561
    assert found.rank == means.index(record.mean) + 1
    assert found.ties == means.count(record.mean) - 1
    below = 6561 - (found.rank - 1) - (found.ties + 1)
    assert found.above == pytest.approx(100 * below / 6561)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"rows": []}',
        '{"rows": {"00000000": [[1, 2], 3, 4]}}',
        '{"rows": {"00000000": [["a", 2, 3], 3, 4]}}',
        '{"rows": {"00000000": 7}}',
    ],
)
def test_a_damaged_table_is_said(text):
    with pytest.raises(TableError):
        parse(text)
