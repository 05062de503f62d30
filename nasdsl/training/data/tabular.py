"""Tables: a row is a sample, a column a feature, one column the class."""

from __future__ import annotations

import csv as tables
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasdsl.training.data.arrays import DIMENSIONS, Arrays, DataError, checked
from nasdsl.training.data.content import content
from nasdsl.training.data.request import Request

#: Characters of a cell, and columns of a table, that nobody needs more of.
_CELL, _COLUMNS = 2**16, 2**16
#: The part of a table without a test file that is the test part: its last fifth.
_TEST = 5

Table = tuple[list[str], NDArray[np.float32], list[str]]


def csv(request: Request) -> Arrays:
    """A table with a head: numbers, and the class as a number or a name in column `label`.

    Options: `label` [the last column]; `test`, a file of the same columns [the last fifth of the
    rows, in their order]; `classes`. Separated by commas, semicolons or tabs.
    """
    return _arrays(request, lambda path, label: _csv(path, label))


def parquet(request: Request) -> Arrays:
    """The same for Parquet files, which pyarrow reads."""
    return _arrays(request, lambda path, label: _parquet(path, label))


def _arrays(request: Request, read: Any) -> Arrays:
    request.takes("label", "test", "classes")
    path, test = request.path(), request.beside("test")
    if path is None:
        raise DataError(f'{request.source}: needs the path of a file, as in csv("table.csv")')
    if request.kind not in ("features", "series"):
        raise DataError(f"{request.source}: holds features or series, not {request.kind}")
    label = request.text("label")
    names, x, y = read(path, label)
    if test is not None:
        others, test_x, test_y = read(test, label)
        if others != names:
            wrong = next((a for a in names if a not in others), "another order")
            raise DataError(f"{test}: its columns are not those of {path} ({wrong})")
    else:
        cut = len(x) - len(x) // _TEST
        x, test_x, y, test_y = x[:cut], x[cut:], y[:cut], y[cut:]
    classes = request.positive("classes")
    train_label, test_label = _labels(y, test_y, path)

    def laid(x: NDArray[Any]) -> NDArray[Any]:
        return x[:, None] if DIMENSIONS[request.kind] == 3 else x

    return checked(
        path.stem,
        (laid(x), train_label),
        (laid(test_x), test_label),
        where=path,
        classes=classes,
        kind=request.kind,
    )


def _labels(
    train: Sequence[str], test: Sequence[str], path: Path
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whole numbers as they are, names by their order in the alphabet."""
    both = [*train, *test]
    if all(text.isdecimal() and len(text) < 10 for text in both):
        return np.array([int(t) for t in train]), np.array([int(t) for t in test])
    place = {name: i for i, name in enumerate(sorted(set(both)))}
    if "" in place:
        raise DataError(f"{path}: a row has no class")
    return np.array([place[t] for t in train]), np.array([place[t] for t in test])


def _csv(path: Path, label: str | None) -> Table:
    text = content(path).decode("utf-8-sig", "replace")
    head, _, _ = text.partition("\n")
    separator = max(",;\t", key=head.count)
    tables.field_size_limit(_CELL)
    try:
        rows = list(tables.reader(io.StringIO(text), delimiter=separator, strict=True))
    except tables.Error as error:
        raise DataError(f"{path}: no sound table ({error})") from None
    rows = [row for row in rows if row]
    if len(rows) < 2:
        raise DataError(f"{path}: needs a row of names and rows of numbers")
    names = [name.strip() for name in rows[0]]
    place = _place(names, label, path)
    x = np.empty((len(rows) - 1, len(names) - 1), np.float32)
    labels = []
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise DataError(f"{path}: row {number} has {len(row)} cells, the head {len(names)}")
        labels.append(row.pop(place).strip())
        for column, cell in enumerate(row):
            x[number - 2, column] = _value(cell, path, number, names)
    return [n for i, n in enumerate(names) if i != place], x, labels


def _place(names: Sequence[str], label: str | None, path: Path) -> int:
    if len(names) > _COLUMNS or len(names) < 2:
        raise DataError(f"{path}: {len(names)} columns; 2 to {_COLUMNS} are read")
    if len(set(names)) < len(names):
        raise DataError(f"{path}: two columns have one name")
    if label is None:
        return len(names) - 1
    if label not in names:
        raise DataError(f"{path}: there is no column `{label}`; there are {', '.join(names)[:200]}")
    return list(names).index(label)


def _value(cell: str, path: Path, row: int, names: Sequence[str]) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) <= 3.4e38:
        raise DataError(
            f"{path}: row {row} holds {cell[:40]!r}, which is no finite number; every column but "
            "the class holds numbers"
        )
    return value


def _parquet(path: Path, label: str | None) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet as reader
    except ImportError as problem:
        raise DataError(
            "parquet: needs pyarrow; install it with: pip install 'nasdsl[parquet]'"
        ) from problem
    try:
        table = reader.read_table(io.BytesIO(content(path)))
        names = [str(name) for name in table.column_names]
        place = _place(names, label, path)
        columns = [
            table.column(i).to_numpy().astype(np.float32) for i in range(len(names)) if i != place
        ]
        labels = [str(v).removesuffix(".0") for v in table.column(place).to_pylist()]
    except (pyarrow.ArrowException, OSError, ValueError, TypeError) as problem:
        raise DataError(f"{path}: no sound table of numbers ({problem})") from problem
    return [n for i, n in enumerate(names) if i != place], np.stack(columns, axis=1), labels
