"""Where an architecture stands in a table, and which one is best by what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.benchmarks.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The place of an architecture among `of`: 1 + how many are better; `ties` others are equal.

    `above` is the percentage of all that are worse. `column` says what was compared.
    """

    rank: int
    of: int
    ties: int
    above: float
    column: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best of a table, and the column that says so. The first of equal ones is taken."""

    record: Record
    column: str
    ties: int


def standing(record: Record, records: Iterable[Record]) -> Standing:
    """The standing of a record by mean test result among all records of its benchmark.

    This looks at test results: it judges what was found, it does not choose. Raises BenchmarkError
    where the benchmark has no test results.
    """
    own = record.mean
    if own is None:
        raise BenchmarkError(f"{record.benchmark} has no test results to be ranked by")
    means = [r.mean for r in records if r.mean is not None]
    rank = 1 + sum(m > own for m in means)
    ties = sum(m == own for m in means) - 1
    worse = sum(m < own for m in means)
    return Standing(
        rank=rank, of=len(means), ties=ties, above=100 * worse / len(means), column=tested(record)
    )


def best(records: Iterable[Record]) -> Best:
    """The best architecture of a table: by validation where every record has it, else by test.

    Choosing by test results overstates what a search can reach; `column` says when it was done.
    Raises BenchmarkError for an empty table, or one with neither.
    """
    listed = list(records)
    valid = [r.validation for r in listed if r.validation is not None]
    if listed and len(valid) == len(listed):
        return _first(listed, valid, f"validation {listed[0].metric}")
    means = [r.mean for r in listed if r.mean is not None]
    if not listed or len(means) != len(listed):
        raise BenchmarkError("the benchmark has no column to choose by")
    return _first(listed, means, f"{tested(listed[0])} (it has no validation column)")


def _first(records: Sequence[Record], values: Sequence[float], column: str) -> Best:
    highest = max(values)
    return Best(
        record=records[values.index(highest)], column=column, ties=values.count(highest) - 1
    )


def tested(record: Record) -> str:
    """`mean test accuracy`, the mean being over runs."""
    return f"mean test {record.metric}"


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, equal values sharing their mean rank.

    Raises ValueError where the lengths differ, or one has no two different values.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values cannot be compared with {len(second)}")
    a, b = ranks(first), ranks(second)
    middle = (len(a) + 1) / 2
    together = sum((x - middle) * (y - middle) for x, y in zip(a, b, strict=True))
    spread = sum((x - middle) ** 2 for x in a) * sum((y - middle) ** 2 for y in b)
    if spread == 0:
        raise ValueError("a rank correlation needs two different values on both sides")
    return together / sqrt(spread)


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1 in rising order; equal values share their mean rank."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for i in order[start:end]:
            found[i] = (start + 1 + end) / 2
        start = end
    return found
