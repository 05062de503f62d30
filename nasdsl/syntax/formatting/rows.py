"""Rows: lines that align with their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from nasdsl.syntax import ast


@dataclass(frozen=True, slots=True)
class Row:
    """A line in columns, then perhaps a mark (`=`, `:`) and values (two around `->`).

    Rows of one kind on adjacent lines form a run, whose columns align. A row of no kind stands
    alone. `tail` is the flat text behind the columns; `broken` rows cover several lines.
    """

    start: int
    end: int
    kind: str = ""
    columns: tuple[str, ...] = ()
    mark: str = ""
    values: tuple[ast.Value, ...] = ()
    tail: str = ""
    broken: bool = False

    @property
    def aligned(self) -> tuple[str, ...]:
        """The columns that have something behind them to align."""
        return self.columns if self.tail else self.columns[:-1]

    @property
    def rest(self) -> str:
        """What stands behind the aligned columns."""
        return self.tail or "".join(self.columns[-1:])

    @property
    def flat(self) -> str:
        """The row on its own, on one line."""
        return " ".join((*self.aligned, self.rest))

    @property
    def widths(self) -> list[int]:
        """The columns' widths as they must be at least."""
        return [len(column) for column in self.aligned]

    def lead(self, widths: Sequence[int]) -> str:
        """The aligned columns, padded."""
        return "".join(c.ljust(w) + " " for c, w in zip(self.aligned, widths, strict=False))


class _Run:
    """Rows being aligned. A row joins only if no line grows beyond the room by it."""

    def __init__(self, first: Row, room: int) -> None:
        self.room = room
        self.kind = first.kind
        self.closed = first.broken
        self.widths = first.widths
        #: By the number of columns before it, the longest rest.
        self.rests = self._measured({}, first)

    def joins(self, row: Row) -> bool:
        """Take the row in, or say that it must begin another run."""
        if self.closed or not row.kind or row.kind != self.kind:
            return False
        widths = [max(pair) for pair in zip_longest(self.widths, row.widths, fillvalue=0)]
        rests = self._measured(self.rests, row)
        if any(sum(widths[:n]) + n + rest > self.room for n, rest in rests.items()):
            return False
        self.widths[:], self.rests, self.closed = widths, rests, row.broken
        return True

    def _measured(self, rests: dict[int, int], row: Row) -> dict[int, int]:
        if row.broken:
            return rests
        count = len(row.aligned)
        return {**rests, count: max(rests.get(count, 0), len(row.rest))}


def align(
    rows: Sequence[Row], room: int, apart: Callable[[int, int], bool]
) -> list[tuple[Row, Sequence[int]]]:
    """Rows with the widths of their columns; a run ends behind a broken row.

    `apart` says whether a blank line comes between two positions, which ends a run, too.
    """
    found: list[tuple[Row, Sequence[int]]] = []
    run: _Run | None = None
    end = 0
    for row in rows:
        if not row.broken and len(row.flat) > room:
            row = replace(row, broken=True)
        if run is None or apart(end, row.start) or not run.joins(row):
            run = _Run(row, room)
        found.append((row, run.widths))
        end = row.end
    return found
