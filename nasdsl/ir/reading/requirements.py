"""Requirements: what is measured, compared and joined."""

from __future__ import annotations

from nasdsl.ir.cell import Cell
from nasdsl.ir.reading.items import Item
from nasdsl.ir.reading.lines import Line
from nasdsl.ir.requirement import (
    MEASURES,
    OPERATORS,
    Amount,
    Measure,
    Negation,
    Relation,
    Requirement,
)

_TESTS = (Measure, Amount, Relation, Negation)


def read_requirement(line: Line, cells: dict[str, Cell]) -> Item:
    text = line.word("the text of the requirement")
    table = line.word("a table") if line.take("of") else None
    line.end()
    line.only(*_TESTS)
    test = line.one(_TESTS, "a test")
    return Item("require", Requirement(text=text, test=test, table=table))


def read_measure(line: Line, cells: dict[str, Cell]) -> Measure:
    name = line.word("a measure")
    if name not in MEASURES:
        raise line.fail(f"there is no measure `{name}`")
    label = line.word("a label") if name == "count" else None
    line.end()
    line.only()
    return Measure(name=name, label=label)


def read_amount(line: Line, cells: dict[str, Cell]) -> Amount:
    value = line.fraction("an amount")
    line.end()
    line.only()
    return Amount(value=value)


def read_negation(line: Line, cells: dict[str, Cell]) -> Negation:
    line.end()
    line.only(*_TESTS)
    return Negation(inner=line.one(_TESTS, "a test"))


def read_relation(line: Line, cells: dict[str, Cell]) -> Relation:
    op = line.word("an operator")
    if op not in OPERATORS and op not in ("and", "or"):
        raise line.fail(f"`{op}` is no operator")
    line.end()
    line.only(*_TESTS)
    if len(line.values) != 2:
        raise line.fail("a relation has two parts")
    return Relation(op=op, left=line.values[0], right=line.values[1])
