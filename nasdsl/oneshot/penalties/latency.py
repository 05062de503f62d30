"""Latency of architectures from a table of measured operations (ProxylessNAS, arXiv 1812.00332).

The table is a CSV file with the columns `op`, `ms` and, if wanted, `input`: the label of an option,
milliseconds, and the shape of what it reads (`16x32x32`). A row with an empty `input` serves every
shape that has no row of its own. An option that is zero costs nothing and needs no row.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

from nasdsl.ir import cost
from nasdsl.ir.cell import Cell, operations
from nasdsl.ir.config import Component
from nasdsl.ir.expression import CostError, Expression, Factor, Term, times, total
from nasdsl.ir.op import Choice, Forms, Nested, Op, Varied, is_none, parts
from nasdsl.ir.space import Space

#: Amounts of an expression are whole: nanoseconds in a millisecond.
UNIT = 1_000_000


def where(text: str, component: Component) -> Path:
    """The file of a table: as given, else beside the file that names it."""
    path = Path(text)
    if not path.is_file() and not path.is_absolute() and component.span is not None:
        beside = Path(component.span.source.name).parent / path
        if beside.is_file():
            return beside
    return path


def read(path: Path) -> dict[tuple[str, str], int]:
    """Nanoseconds by label and shape; raises CostError for a file that is no such table."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            columns = set(rows.fieldnames or ())
            if not {"op", "ms"} <= columns <= {"op", "ms", "input"}:
                raise CostError(
                    f"{path} has the columns {', '.join(sorted(columns))}; `op`, `ms` and perhaps "
                    "`input` are wanted"
                )
            found: dict[tuple[str, str], int] = {}
            for row in rows:
                key = ((row["op"] or "").strip(), (row.get("input") or "").strip())
                if key in found:
                    raise CostError(f"{path}, line {rows.line_num}: `{key[0]}` stands there twice")
                found[key] = _nanoseconds(row["ms"], f"{path}, line {rows.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CostError(f"the latency table {path} cannot be read: {error}") from None
    return found


def _nanoseconds(text: str | None, place: str) -> int:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise CostError(f"{place}: `{text}` is no number of milliseconds")
    return round(value * UNIT)


def expression(space: Space, path: Path) -> Expression:
    """The latency of the target network in nanoseconds, over the choices of its space.

    What no choice changes is not counted. Raises CostError for options without a row and for
    choices that such a table does not speak of.
    """
    table = read(path)
    missing: list[str] = []
    terms = total(_terms(space, table, missing))
    if missing:
        raise CostError(f"{path} has no row for {', '.join(dict.fromkeys(missing))}")
    return Expression(
        measure="latency",
        terms=terms,
        labels=cost.labels(space),
        stay=cost.stay(space.target),
    )


def _terms(space: Space, table: dict[tuple[str, str], int], missing: list[str]) -> Iterator[Term]:
    def inside(op: Op, factors: tuple[Factor, ...]) -> Iterator[Term]:
        match op:
            case Varied() | Forms():
                raise CostError(
                    f"a latency table holds operations; `{op.decisions[0]}` changes a size in one"
                )
            case Nested():
                yield from whole(op.cell, factors)
            case Choice():
                for label, option in zip(op.labels, op.options, strict=True):
                    here = times(factors, (Factor(op.decision, (label,)),))
                    if here is None:
                        continue
                    if not is_none(option):
                        amount = table.get((label, str(op.inp)), table.get((label, "")))
                        if amount is None:
                            missing.append(f"`{label}` at {op.inp}")
                        else:
                            yield Term(amount, here)
                    yield from inside(option, here)
            case _:
                for part in parts(op):
                    yield from inside(part, factors)

    def whole(cell: Cell, factors: tuple[Factor, ...]) -> Iterator[Term]:
        if cell.picks:
            raise CostError(
                f"cell `{cell.name}` picks its edges, which a latency table cannot tell"
            )
        for _, op in operations(cell):
            yield from inside(op, factors)

    for stage in space.target.stages:
        if stage.rounds:
            raise CostError(f"the depth of `{stage.name}` is decided; a latency table has no depth")
        body = stage.body
        yield from whole(body, ()) if isinstance(body, Cell) else inside(body, ())
