"""Lines whose meaning their parent knows: keyword and value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nasdsl.ir.cell import Cell
from nasdsl.ir.reading.lines import Line


@dataclass(frozen=True, slots=True)
class Item:
    """A line whose meaning its parent knows: keyword and what it says."""

    word: str
    value: Any


@dataclass(frozen=True, slots=True)
class CellRef:
    name: str


def items_below(line: Line, *wanted: str, may: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the simple lines below say; each of `wanted` once."""
    found: dict[str, Any] = {}
    for below, value in zip(line.below, line.values, strict=True):
        if not isinstance(value, Item):
            continue
        if value.word not in (*wanted, *may):
            raise below.fail(f"`{value.word}` does not belong here")
        if value.word in found:
            raise below.fail(f"`{value.word}` stands twice")
        found[value.word] = value.value
    for name in wanted:
        if name not in found:
            raise line.fail(f"`{name}` is missing below this line")
    return found


def read_named(line: Line, cells: dict[str, Cell]) -> Item:
    keyword = line.tokens[0].text
    value = line.word(f"the {keyword}")
    line.end()
    return Item(keyword, value)


def read_number(line: Line, cells: dict[str, Cell]) -> Item:
    keyword = line.tokens[0].text
    value = line.integer(f"`{keyword}`")
    line.end()
    return Item(keyword, value)


def read_out(line: Line, cells: dict[str, Cell]) -> Item:
    value = line.shape()
    line.end()
    return Item("out", value)


def read_parameter(line: Line, cells: dict[str, Cell]) -> Item:
    name, value = line.word("a name"), line.word("a value")
    line.end()
    return Item("parameter", (name, value))
