"""Decisions and the tables of cells."""

from __future__ import annotations

from nasdsl.ir.cell import Cell, Keep, Pick
from nasdsl.ir.reading.items import Item
from nasdsl.ir.reading.lines import Line
from nasdsl.ir.reading.operations import options_below
from nasdsl.ir.space import Decision, TableRules


def read_decision(line: Line, cells: dict[str, Cell]) -> Decision:
    identity = line.word("a decision")
    line.expect("table")
    table = line.word("a table")
    line.expect("kind")
    kind = line.word("a kind")
    count = line.integer("a count") if line.take("count") else None
    low = line.fraction("a bound") if line.take("low") else None
    high = line.fraction("a bound") if line.take("high") else None
    log = line.take("log")
    if (low is None) != (high is None):
        raise line.fail("a domain has `low` and `high`")
    nesting = line.take("nested")
    line.end()
    labels, groups = options_below(line)
    nested = []
    for below, values in groups:
        if not all(isinstance(v, Decision) for v in values) or (values and not nesting):
            raise below.fail("below an option of a `nested` decision stand decisions")
        nested.append(tuple(values))
    return Decision(
        id=identity,
        table=table,
        kind=kind,
        labels=labels,
        nested=tuple(nested) if nesting else (),
        count=count,
        low=low,
        high=high,
        log=log,
    )


def read_decisions(line: Line, cells: dict[str, Cell]) -> Item:
    line.end()
    line.only(Decision)
    return Item("decisions", tuple(line.values))


def read_rules(line: Line, cells: dict[str, Cell]) -> TableRules:
    table = line.word("a table")
    line.end()
    line.only(Item, Keep, Pick)
    rows = []
    for below, item in zip(line.below, line.values, strict=True):
        if isinstance(item, Item):
            if item.word != "row":
                raise below.fail(f"`{item.word}` does not belong here")
            rows.append(item.value)
    return TableRules(table=table, rows=tuple(rows), keeps=line.all(Keep), picks=line.all(Pick))


def read_row(line: Line, cells: dict[str, Cell]) -> Item:
    node = line.word("a node")
    return Item("row", (node, tuple(line.until())))
