"""NAS-Bench-Macro as a benchmark: a genotype's row, quickly, and its record."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nasdsl.benchmarks import fit
from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.benchmarks.macro_table import DIGITS, LAYERS, Row, canonical, rows
from nasdsl.benchmarks.record import Record
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Space

NAME = "nasbench_macro"
TABULATED = (("cifar10", "nasbench_macro", "cifar10"),)
_KEY = re.compile(f"[{DIGITS}]{{{LAYERS}}}")


def dataset_of(space: Space) -> str:
    """`cifar10`. Raises BenchmarkError for a space that is not the tabulated one."""
    return fit.dataset_of(space, NAME, "digits", TABULATED)


def key_in(text: str) -> str | None:
    """The key, if a text is one."""
    return text if _KEY.fullmatch(text) else None


def key_of(genotype: Genotype, space: Space) -> str:
    """Eight digits: the option of each layer. Raises BenchmarkError."""
    return _key(genotype, _places(space))


def _places(space: Space) -> dict[tuple[str, str], tuple[int, str]]:
    """Where a pick stands in the key and its digit. Options are in the order of the digits."""
    return {
        (decision.id, label): (place, DIGITS[i])
        for place, decision in enumerate(space.decisions)
        for i, label in enumerate(decision.labels)
    }


def _key(genotype: Genotype, places: Mapping[tuple[str, str], tuple[int, str]]) -> str:
    digits = [""] * LAYERS
    for pick in genotype.picks:
        try:
            place, digit = places[pick]
        except KeyError:
            raise BenchmarkError(f"{NAME} has no option `{pick[1]}` for `{pick[0]}`") from None
        if digits[place]:
            raise BenchmarkError(f"`{pick[0]}` is decided twice")
        digits[place] = digit
    if "" in digits:
        raise BenchmarkError(f"layer {digits.index('') + 1} of {LAYERS} is not decided")
    return "".join(digits)


@dataclass(frozen=True, slots=True)
class Table:
    """The table seen through one space, for searches: no check is repeated per query."""

    rows: Mapping[str, Row]
    places: Mapping[tuple[str, str], tuple[int, str]]

    def evaluate(self, genotype: Genotype) -> Row:
        """The row of an architecture. Raises BenchmarkError."""
        return self.rows[_key(genotype, self.places)]


def table(space: Space) -> Table:
    """The table for genotypes of a space. Raises BenchmarkError for another space."""
    dataset_of(space)
    return Table(rows(), _places(space))


@dataclass(frozen=True, slots=True)
class Opened:
    """The whole table as records."""

    def record(self, key: str, *, dataset: str, epochs: int | None = None) -> Record:
        """The record of a key. Raises BenchmarkError."""
        _check(dataset, epochs)
        if key not in rows():
            raise BenchmarkError(f"{NAME} has no architecture `{key}`: eight digits of 0, 1 and 2")
        return _record(rows()[key])

    def records(self, *, dataset: str, epochs: int | None = None) -> Iterator[Record]:
        """All 6 561 records in the order of keys."""
        _check(dataset, epochs)
        return (_record(row) for row in rows().values())


def opened(data: Path | None = None) -> Opened:
    """The table, which comes with the package. Raises BenchmarkError if a path is given."""
    if data is not None:
        raise BenchmarkError(f"{NAME} comes with nasdsl and reads no file")
    return Opened()


def _check(dataset: str, epochs: int | None) -> None:
    if dataset != "cifar10":
        raise BenchmarkError(f"{NAME} has no data set `{dataset}`; it has cifar10")
    if epochs is not None:
        raise BenchmarkError(f"{NAME} has one training per network; leave the epochs out")


def _record(row: Row) -> Record:
    notes = ["the benchmark has no validation accuracy: choosing by it is choosing on test images"]
    if row.key != canonical(row.key):
        notes.append(f"one network was trained for this and {canonical(row.key)}, its equal")
    return Record(
        benchmark=NAME,
        key=row.key,
        dataset="cifar10",
        setting="as published",
        test=row.test,
        mean=row.mean,
        std=row.std,
        params=row.params,
        flops=row.flops,
        flops_unit="multiply-adds of convolutions and the linear layer, without bias",
        notes=tuple(notes),
    )
