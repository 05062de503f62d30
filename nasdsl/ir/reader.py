"""The space of a text that `nasdsl.ir.printer` wrote, read line by line.

Lines become a tree by their indentation; values are then put together from the innermost line
outwards, so depth costs no recursion. Spans are not in the text and are None afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from nasdsl.ir.cell import Cell
from nasdsl.ir.printer import VERSION, WORDS
from nasdsl.ir.reading.cells import (
    read_after,
    read_arrival,
    read_cell,
    read_edge,
    read_input,
    read_join,
    read_keep,
    read_node,
    read_output,
    read_pick,
)
from nasdsl.ir.reading.decisions import read_decision, read_decisions, read_row, read_rules
from nasdsl.ir.reading.items import Item, read_named, read_number, read_out, read_parameter
from nasdsl.ir.reading.lines import Line, ReadError, as_lines
from nasdsl.ir.reading.networks import read_network, read_round, read_stage
from nasdsl.ir.reading.operations import (
    read_choice,
    read_form,
    read_forms,
    read_labels,
    read_option,
    read_parallel,
    read_primitive,
    read_sequence,
    read_varied,
)
from nasdsl.ir.reading.requirements import (
    read_amount,
    read_measure,
    read_negation,
    read_relation,
    read_requirement,
)
from nasdsl.ir.space import Space, TableRules


def read_space(text: str) -> Space:
    """The space that `print_space` printed. Raises ReadError."""
    top = as_lines(text)
    if len(top) != 2:
        raise ReadError(top[2].number if len(top) > 2 else 1, "`ir 1` and one space are wanted")
    head, body = top
    if head.word("ir") != "ir" or head.integer("a version") != VERSION:
        raise ReadError(head.number, f"the text begins with `ir {VERSION}`")
    head.end()
    found = _build(body)
    if not isinstance(found, Space):
        raise ReadError(body.number, "a space is wanted here")
    return found


def _build(root: Line) -> Any:
    """The value of a line, from those of the lines below it."""
    cells: dict[str, Cell] = {}
    result: Any = None
    stack: list[tuple[Line, Line | None, bool]] = [(root, None, False)]
    while stack:
        line, parent, ready = stack.pop()
        if not ready:
            stack.append((line, parent, True))
            stack.extend((b, line, False) for b in reversed(line.below))
            continue
        result = _value(line, cells)
        if parent is not None:
            parent.values.append(result)
    return result


def _value(line: Line, cells: dict[str, Cell]) -> Any:
    first = line.tokens[0]
    if first.quoted or first.text not in WORDS:
        return read_primitive(line)
    reader = _READERS.get(first.text)
    if reader is None:
        raise line.fail(f"a line does not begin with `{first.text}`")
    line.at = 1
    return reader(line, cells)


def _space(line: Line, cells: dict[str, Cell]) -> Space:
    name = line.word("a name")
    line.end()
    line.only(Item, TableRules, Cell)
    several: dict[str, list[Any]] = {"parameter": [], "require": []}
    found: dict[str, Any] = {}
    for below, item in zip(line.below, line.values, strict=True):
        if not isinstance(item, Item):
            continue
        if item.word in several:
            several[item.word].append(item.value)
        elif item.word in found:
            raise below.fail(f"`{item.word}` stands twice")
        elif item.word in ("format", "classes", "decisions", "supernet", "target"):
            found[item.word] = item.value
        else:
            raise below.fail(f"`{item.word}` does not belong here")
    for wanted in ("format", "supernet", "target"):
        if wanted not in found:
            raise line.fail(f"`{wanted}` is missing below this line")
    return Space(
        name=name,
        parameters=tuple(several["parameter"]),
        supernet=found["supernet"],
        target=found["target"],
        decisions=found.get("decisions", ()),
        rules=line.all(TableRules),
        format=found["format"],
        requires=tuple(several["require"]),
        classes=found.get("classes"),
    )


_READERS: Mapping[str, Callable[[Line, dict[str, Cell]], Any]] = MappingProxyType(
    {
        "after": read_after,
        "amount": read_amount,
        "arrival": read_arrival,
        "aux": read_stage,
        "cell": read_cell,
        "choice": read_choice,
        "classes": read_number,
        "decision": read_decision,
        "decisions": read_decisions,
        "edge": read_edge,
        "form": read_form,
        "format": read_named,
        "forms": read_forms,
        "input": read_input,
        "join": read_join,
        "keep": read_keep,
        "labels": read_labels,
        "measure": read_measure,
        "name": read_named,
        "negation": read_negation,
        "network": read_network,
        "node": read_node,
        "option": read_option,
        "out": read_out,
        "output": read_output,
        "par": read_parallel,
        "parameter": read_parameter,
        "pick": read_pick,
        "relation": read_relation,
        "require": read_requirement,
        "row": read_row,
        "rules": read_rules,
        "round": read_round,
        "seq": read_sequence,
        "space": _space,
        "stage": read_stage,
        "stride": read_number,
        "table": read_named,
        "varied": read_varied,
        "width": read_number,
    }
)
