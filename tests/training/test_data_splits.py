"""Index arithmetic: exact cuts, orders, fingerprints and leak checks."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasdsl.training.data.sources import DataError
from nasdsl.training.data.splits import (
    Splits,
    check,
    fingerprint,
    fraction_range,
    index_range,
    overlap,
    shuffle,
    stratify,
)

HALF = Fraction(1, 2)


@pytest.mark.parametrize(("n", "sizes"), [(7, (4, 3)), (50_001, (25_000, 25_001)), (10, (5, 5))])
def test_halves_of_an_odd_number_are_disjoint_and_complete(n: int, sizes: tuple[int, int]) -> None:
    low, high = fraction_range(n, 0, HALF), fraction_range(n, HALF, 1)
    assert (len(low), len(high)) == sizes
    assert [*low, *high] == list(range(n))


@given(st.integers(0, 10_000), st.lists(st.fractions(0, 1, max_denominator=1000), max_size=6))
def test_neighbouring_ranges_tile_the_data(n: int, cuts: list[Fraction]) -> None:
    edges = [Fraction(0), *sorted(cuts), Fraction(1)]
    joined = [i for a, b in zip(edges, edges[1:], strict=False) for i in fraction_range(n, a, b)]
    assert joined == list(range(n))


def test_fractions_are_exact_where_binary_floats_are_not() -> None:
    assert len(fraction_range(10, 0.0, 0.3)) == 3
    assert fraction_range(10**18, 0, Fraction(1, 3)).stop == 333333333333333333
    assert (
        fraction_range(50, 0, 0.29).stop == 14
    )  # 14.5 rounds to even; 0.29 * 50 is less in floats


@pytest.mark.parametrize(("a", "b"), [(HALF, 0), (0, Fraction(6, 5)), (Fraction(-1, 10), 1)])
def test_fractions_out_of_order_or_range_are_refused(a: Fraction, b: Fraction) -> None:
    with pytest.raises(DataError, match="0 <= a <= b <= 1"):
        fraction_range(10, a, b)


def test_index_ranges_are_inclusive_and_checked() -> None:
    assert len(index_range(0, 12_499)) == 12_500
    assert index_range(3, 3) == range(3, 4)
    with pytest.raises(DataError, match="first <= last"):
        index_range(4, 3)
    with pytest.raises(DataError, match=r"only the indices 0\.\.9"):
        index_range(0, 10, 10)


def test_shuffle_is_a_permutation_that_its_seed_fixes() -> None:
    order = shuffle(1000, 3)
    assert sorted(order.tolist()) == list(range(1000))
    assert order.tolist() == shuffle(1000, 3).tolist() != shuffle(1000, 4).tolist()
    assert shuffle(8, 0).tolist() == [2, 4, 3, 6, 5, 0, 1, 7]  # must not change between releases


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.integers(0, 9))
def test_every_prefix_of_stratify_has_nearly_the_class_proportions(
    labels: list[int], seed: int
) -> None:
    y = np.array(labels)
    order = stratify(y, seed)
    assert sorted(order.tolist()) == list(range(len(y)))
    classes = np.unique(y)
    counts = np.cumsum(y[order][:, None] == classes, axis=0)
    ideal = np.arange(1, len(y) + 1)[:, None] * (y[:, None] == classes).mean(axis=0)
    assert np.abs(counts - ideal).max() <= 0.5 + len(classes) / 2


def test_stratify_takes_the_same_share_of_every_class() -> None:
    y = np.repeat(np.arange(10), 1300)
    order = stratify(y, 0)
    first = order[: fraction_range(len(y), 0, Fraction(1, 10)).stop]
    assert np.bincount(y[first]).tolist() == [130] * 10
    assert order.tolist() == stratify(y, 0).tolist() != stratify(y, 1).tolist()


def test_fingerprint_is_the_hash_of_little_endian_int64() -> None:
    raw = b"".join(i.to_bytes(8, "little") for i in (5, 0, 7))
    expected = hashlib.sha256(raw).hexdigest()[:16]
    assert fingerprint([5, 0, 7]) == expected == fingerprint(np.array([5, 0, 7], np.int32))
    assert fingerprint([0, 5, 7]) != expected
    assert fingerprint(range(3)) == fingerprint(np.arange(6)[::2] // 2)


def test_overlap_counts_different_indices() -> None:
    assert overlap([1, 2, 2, 3], [2, 2, 3, 9]) == 2
    assert overlap([], [1]) == 0


def test_the_darts_halves_only_warn_about_retraining_on_search_images() -> None:
    n = 10
    splits = Splits(
        search_train=np.arange(5), search_valid=np.arange(5, 10), retrain_train=np.arange(n)
    )
    found = check(splits, size=n)
    assert [f.severity for f in found] == ["warning", "warning"]
    assert found[0].message == "search.train and retrain.train share 5 of 10 indices"
    assert {f.severity for f in check(splits, size=n, disjoint=True)} == {"error"}
    assert set(splits.fingerprints()) == {"search.train", "search.valid", "retrain.train"}


def test_search_parts_that_overlap_are_an_error_with_the_count() -> None:
    splits = Splits(
        search_train=np.arange(6), search_valid=np.arange(4, 8), retrain_train=np.arange(8, 10)
    )
    (finding,) = check(splits, size=10)
    assert finding.severity == "error"
    assert finding.message == "search.train and search.valid share 2 of 4 indices"


def test_empty_parts_repeats_and_indices_outside_the_data_are_errors() -> None:
    splits = Splits(
        search_train=np.array([0, 0, 1]),
        search_valid=np.array([], np.int64),
        retrain_train=np.array([7, 12]),
        retrain_valid=np.array([-1]),
    )
    found = check(splits, size=10)
    assert {f.severity for f in found} == {"error"}
    assert [f.message.split(";")[0] for f in found] == [
        "search.train holds 1 of its 3 indices more than once",
        "search.valid is empty",
        "retrain.train holds the index 12, outside the data (0..9)",
        "retrain.valid holds the index -1, outside the data (0..9)",
    ]


def test_parts_are_read_only_copies() -> None:
    mine = np.arange(4)
    splits = Splits(search_train=mine, search_valid=np.array([4]), retrain_train=np.arange(9))
    mine[0] = 9
    assert splits.search_train.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        splits.search_train[0] = 1
