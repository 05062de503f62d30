"""Networks: stages, the rounds they stand in, and the auxiliary head."""

from __future__ import annotations

from typing import Any

from nasdsl.ir.cell import Cell
from nasdsl.ir.reading.items import CellRef, Item
from nasdsl.ir.reading.lines import Line
from nasdsl.ir.reading.operations import OPS
from nasdsl.ir.space import Network, Stage


def read_round(line: Line, cells: dict[str, Cell]) -> Item:
    decision, path = line.word("a decision"), line.word("a path")
    number = line.integer("the number of the round")
    line.end()
    return Item("round", (decision, path, number))


def read_stage(line: Line, cells: dict[str, Cell]) -> Item:
    aux = line.tokens[0].text == "aux"
    number = -1 if aux else line.integer("the number of the stage")
    name, role = line.word("a name"), line.word("a role")
    line.expect("from")
    inputs = []
    while not line.peek(":"):
        inputs.append(-1 if line.take("input") else line.integer("a stage"))
    line.expect(":")
    out = line.shape()
    line.end()
    body = line.one((*OPS, CellRef), "a cell or an operation")
    body = cells[body.name] if isinstance(body, CellRef) else body
    rounds = tuple(v.value for v in line.values if isinstance(v, Item) and v.word == "round")
    stage = Stage(name=name, role=role, body=body, inputs=tuple(inputs), out=out, rounds=rounds)
    return Item("aux", stage) if aux else Item("stage", (number, stage))


def read_network(line: Line, cells: dict[str, Cell]) -> Item:
    role, name = line.word("`supernet` or `target`"), line.word("a name")
    if role not in ("supernet", "target"):
        raise line.fail(f"a network is `supernet` or `target`, not `{role}`")
    line.end()
    line.only(Item)
    stages: list[Stage] = []
    found: dict[str, Any] = {}
    for below, item in zip(line.below, line.values, strict=True):
        if item.word == "stage":
            number, stage = item.value
            if number != len(stages):
                raise below.fail(f"stage {len(stages)} is wanted here, not {number}")
            stages.append(stage)
        elif item.word in ("input", "aux") and item.word not in found:
            found[item.word] = item.value
        else:
            raise below.fail(f"`{item.word}` does not belong here")
    if "input" not in found:
        raise line.fail("`input` is missing below this line")
    network = Network(name=name, inp=found["input"], stages=tuple(stages), aux=found.get("aux"))
    return Item(role, network)
