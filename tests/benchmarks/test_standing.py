"""Ranks, rank correlations and choices, on small tables."""

import random

import pytest
from scipy.stats import rankdata, spearmanr

from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.benchmarks.record import Record, moments
from nasdsl.benchmarks.standing import best, ranks, spearman, standing


def record(key, test, valid=None):
    mean, std = moments(test)
    return Record(
        benchmark="b", key=key, dataset="d", setting="", test=test, mean=mean, std=std,
        validation=valid,
    )  # fmt: skip


def test_moments():
    assert moments(()) == (None, None)
    assert moments((2.0,)) == (2.0, 0.0)
    assert moments((1.0, 3.0, 5.0)) == (3.0, (8 / 3) ** 0.5)


def test_ranks_and_correlation_equal_scipy_with_and_without_ties():
    draw = random.Random(0)
    for choices in (3, 10, 10_000):
        a = [draw.randrange(choices) for _ in range(200)]
        b = [x + draw.randrange(choices) for x in a]
        assert ranks(a) == rankdata(a).tolist()
        assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    assert spearman([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    for a, b in (([1, 1], [1, 2]), ([], []), ([1, 2], [1, 2, 3])):
        with pytest.raises(ValueError):
            spearman(a, b)


def test_the_best_by_validation_is_not_the_best_by_test():
    table = [record("a", (90.0,), 80.0), record("b", (70.0,), 85.0), record("c", (60.0,), 85.0)]
    found = best(table)
    assert (found.record.key, found.column, found.ties) == ("b", "validation accuracy", 1)


def test_without_validation_everywhere_the_test_column_is_named():
    table = [record("a", (90.0, 92.0), 80.0), record("b", (70.0, 71.0))]
    found = best(table)
    assert found.record.key == "a"
    assert found.column == "mean test accuracy (it has no validation column)"


def test_nothing_to_choose_by():
    for table in ([], [record("a", ())], [record("a", ()), record("b", (1.0,))]):
        with pytest.raises(BenchmarkError, match="no column"):
            best(table)


def test_a_standing():
    table = [record(k, (v,)) for k, v in zip("abcde", (5.0, 4.0, 4.0, 4.0, 1.0), strict=True)]
    found = standing(table[2], table)
    assert (found.rank, found.of, found.ties, found.above) == (2, 5, 2, 20.0)
    assert found.column == "mean test accuracy"
