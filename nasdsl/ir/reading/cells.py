"""Cells: inputs, nodes, edges, rules and the output."""

from __future__ import annotations

from nasdsl.ir.cell import After, Arrival, Cell, CellEdge, CellInput, CellNode, Join, Keep, Pick
from nasdsl.ir.op import Nested
from nasdsl.ir.reading.items import CellRef, Item, items_below
from nasdsl.ir.reading.lines import Line
from nasdsl.ir.reading.operations import OPS

_OUTPUTS = (Arrival, Join, After)


def read_keep(line: Line, cells: dict[str, Cell]) -> Keep:
    count = line.count()
    line.expect("per")
    targets = line.until("except")
    exclude = line.until() if line.take("except") else []
    return Keep(targets=tuple(targets), count=count, exclude=tuple(exclude))


def read_pick(line: Line, cells: dict[str, Cell]) -> Pick:
    count = line.count()
    line.expect("per")
    return Pick(targets=tuple(line.until()), count=count)


def read_arrival(line: Line, cells: dict[str, Cell]) -> Arrival:
    node = line.word("a node")
    line.end()
    line.only()
    return Arrival(node=node)


def read_join(line: Line, cells: dict[str, Cell]) -> Join:
    how = line.word("an aggregator")
    line.end()
    line.only(*_OUTPUTS)
    return Join(how=how, parts=tuple(line.values))


def read_after(line: Line, cells: dict[str, Cell]) -> After:
    line.end()
    inner = line.one(_OUTPUTS, "what comes before the operation")
    return After(inner=inner, op=line.one(OPS, "an operation"))


def read_output(line: Line, cells: dict[str, Cell]) -> Item:
    line.end()
    return Item("output", line.one(_OUTPUTS, "what is joined"))


def read_input(line: Line, cells: dict[str, Cell]) -> CellInput | Item:
    """Of a cell `input NAME : SHAPE` with an operation; of a network `input SHAPE`."""
    if not line.values and len(line.tokens) == 2:
        return Item("input", line.shape())
    name = line.word("a name")
    line.expect(":")
    shape = line.shape()
    line.end()
    return CellInput(name=name, inp=shape, prepare=line.one(OPS, "an operation"))


def read_node(line: Line, cells: dict[str, Cell]) -> CellNode:
    name, how = line.word("a name"), line.word("an aggregator")
    line.end()
    return CellNode(name=name, how=how, after=line.one(OPS, "an operation"))


def read_edge(line: Line, cells: dict[str, Cell]) -> CellEdge:
    source = line.word("a node")
    line.expect("->")
    target = line.word("a node")
    line.end()
    return CellEdge(source=source, target=target, op=line.one(OPS, "an operation"))


def read_cell(line: Line, cells: dict[str, Cell]) -> Cell | Nested | CellRef:
    """A cell where lines stand below, else a reference: an operation, or a stage's body."""
    name = line.word("a cell")
    if not line.below:
        if name not in cells:
            raise line.fail(f"no cell `{name}` stands above")
        if line.at == len(line.tokens):
            return CellRef(name)
        inp, out = line.signature()
        return Nested(cell=cells[name], inp=inp, out=out)
    line.end()
    items = items_below(line, "name", "table", "stride", "width", "out", "output")
    if name in cells:
        raise line.fail(f"cell `{name}` stands twice")
    line.only(Item, CellInput, CellNode, CellEdge, Keep, Pick)
    cells[name] = Cell(
        name=items["name"],
        table=items["table"],
        stride=items["stride"],
        width=items["width"],
        inputs=line.all(CellInput),
        nodes=line.all(CellNode),
        edges=line.all(CellEdge),
        output=items["output"],
        out=items["out"],
        keeps=line.all(Keep),
        picks=line.all(Pick),
    )
    return cells[name]
