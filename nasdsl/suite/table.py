"""Results from a table, CSV or Parquet, and back."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasdsl import disk
from nasdsl.suite.statistics.results import Result, Results, StatisticsError

#: Columns by what they hold, in lower case; the first that a table has is taken.
NAMES: Mapping[str, Sequence[str]] = {
    "optimizer": ("optimizer", "recipe", "method", "algorithm"),
    "benchmark": ("benchmark",),
    "setting": ("setting", "hp_idx", "hp", "train"),
    "seed": ("seed", "retrain_seed"),
    "value": ("value", "accuracy", "test_accuracy", "testacc1", "test.accuracy", "error"),
}
#: What together is a benchmark where no column is called so.
PARTS = ("space", "subspace", "opset", "dataset", "data", "split")
#: What the last word of a measure is.
MEASURES = ("accuracy", "error", "loss")
#: The ending of Parquet files; others are read and written as CSV.
PARQUET = ".parquet"
#: Measures of which less is better.
LOWER = ("error", "loss", "seconds", "perplexity")


def is_lower(measure: str) -> bool:
    """Whether less of a measure is better."""
    return any(word in measure.lower() for word in LOWER)


def read(path: Path, columns: Mapping[str, str] | None = None) -> Results:
    """The results of a CSV file with a header, or of a Parquet file. Raises StatisticsError, OSError.

    `columns` names columns where they are not recognised: `{"value": "TestAcc1"}`; several that
    together are one are joined by `+`: `{"benchmark": "space+dataset"}`.
    """
    found, measure, higher = records(path, columns or {})
    names = ("optimizer", "benchmark", "setting", "seed")
    rows = tuple(Result(**{n: r[n] for n in names}, value=float(r["value"])) for r in found)
    return Results(rows=rows, measure=measure, higher=higher)


def records(
    path: Path, columns: Mapping[str, str], further: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[dict[str, str]], str, bool]:
    """Lines of a table by what their columns hold; what there is no column for is empty.

    `further` are columns that a caller wants beside those of `NAMES`. The measure and whether more
    of it is better come with the lines. Raises StatisticsError, OSError.
    """
    header, lines = _parquet(path) if path.suffix == PARQUET else _csv(path)
    known = {**NAMES, **(further or {})}
    chosen = {what: _columns(what, known, header, columns, path) for what in known}
    for what in ("optimizer", "benchmark", "value"):
        if not chosen[what]:
            raise StatisticsError(
                f"{path} has no column for the {what}; it has {', '.join(header) or 'none'} "
                f"(--column {what}=NAME says which)"
            )
    rows = []
    for number, line in enumerate(lines, 2):
        row = {
            what: " / ".join(line.get(c) or "" for c in chosen[what])
            for what in known
            if what != "value"
        }
        row["value"] = line.get(chosen["value"][0]) or ""
        try:
            float(row["value"])
        except ValueError:
            raise StatisticsError(f"{path}, line {number}: `{row['value']}` is no number") from None
        rows.append(row)
    if not rows:
        raise StatisticsError(f"{path} has no lines")
    measure = chosen["value"][0]
    return rows, measure, not is_lower(measure)


def _csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            lines = list(reader)
            return list(reader.fieldnames or ()), lines
    except (UnicodeDecodeError, csv.Error) as error:
        raise StatisticsError(f"{path} is no CSV table: {error}") from None


def _parquet(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    pyarrow, parquet = _arrow()
    try:
        found = parquet.read_table(path)
    except (pyarrow.ArrowException, ValueError) as error:
        said = str(error).strip().splitlines()[0]
        raise StatisticsError(f"{path} is no Parquet table: {said}") from None
    lines = [
        {k: "" if v is None else repr(v) if isinstance(v, float) else str(v) for k, v in r.items()}
        for r in found.to_pylist()
    ]
    return list(found.column_names), lines


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise StatisticsError(
            "pyarrow is not installed, Parquet tables need it: pip install 'nasdsl[parquet]'"
        ) from None
    return pyarrow, parquet


def _columns(
    what: str,
    known: Mapping[str, Sequence[str]],
    header: Sequence[str],
    given: Mapping[str, str],
    path: Path,
) -> tuple[str, ...]:
    if what in given:
        asked = tuple(c.strip() for c in given[what].split("+"))
        for column in asked:
            if column not in header:
                raise StatisticsError(
                    f"{path} has no column `{column}`; it has {', '.join(header)}"
                )
        return asked
    lower = {c.lower(): c for c in reversed(header)}
    for name in known[what]:
        if name in lower:
            return (lower[name],)
    if what == "value":  # a measure of a suite: `test.error`
        measures = [c for c in header if "." in c and c.rpartition(".")[2] in MEASURES]
        return tuple(measures) if len(measures) == 1 else ()
    if what == "benchmark":
        return tuple(lower[n] for n in PARTS if n in lower)
    return ()


def write(results: Results, path: Path) -> None:
    """Results as a table that `read` takes: Parquet by the ending of the name, else CSV.

    Raises StatisticsError where pyarrow is missing, DiskError.
    """
    names = ("optimizer", "benchmark", "setting", "seed")
    if path.suffix == PARQUET:
        pyarrow, parquet = _arrow()
        columns: dict[str, Any] = {n: [getattr(r, n) for r in results.rows] for n in names}
        arrays = {n: pyarrow.array(c, pyarrow.string()) for n, c in columns.items()}
        values = pyarrow.array([r.value for r in results.rows], pyarrow.float64())
        packed = io.BytesIO()
        parquet.write_table(pyarrow.table({**arrays, results.measure: values}), packed)
        disk.write(path, packed.getvalue())
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, results.measure])
    for r in results.rows:
        writer.writerow([r.optimizer, r.benchmark, r.setting, r.seed, repr(r.value)])
    disk.write(path, text.getvalue().encode("utf-8"))
