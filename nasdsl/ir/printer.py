"""A whole space as text: canonical, one fact a line, indented by what belongs to what.

    ir 1
    space darts
      format darts
      cell normal.0
        edge prev2 -> x[1]
          choice normal/x[1]<-prev2 : 16x32x32
            option skip_connect
              identity : 16x32x32
      network supernet
        stage 1 normal_0 body from 0 0 : 64x32x32
          cell normal.0

Cells that are equal are printed once, named by table and place, and referred to by that name.
Words that are not plain stand in quotes, as in JSON. `nasdsl.ir.reader` reads the text back.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from itertools import product

from nasdsl.ir.cell import After, Arrival, Cell, Join, Keep, Output, Pick
from nasdsl.ir.op import Choice, Forms, Nested, Op, Par, Prim, Scalar, Seq, Varied, parts
from nasdsl.ir.requirement import Amount, Measure, Negation, Relation, Requirement, Test
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Decision, Network, Space, Stage, TableRules

VERSION = 1

#: Words that mean something in a line; names equal to one are quoted.
WORDS = frozenset(
    "after all amount arrival aux cell choice classes count decision decisions edge "
    "except explored form format forms from high input ir join keep kind labels log low measure "
    "name negation network node of option out output par parameter per pick relation "
    "require round row rules seq space stage stride table varied width".split()
)

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\[\]<>\-*./@]*")


def print_space(space: Space) -> str:
    """The canonical text of a space; `read_space` gives an equal space back."""
    return "\n".join([f"ir {VERSION}", *_space(space)]) + "\n"


def digest(space: Space) -> str:
    """A name for exactly this space: the first 16 hex digits of the text's SHA-256."""
    return hashlib.sha256(print_space(space).encode()).hexdigest()[:16]


def word(text: str) -> str:
    """A name as one word of a line."""
    plain = _PLAIN.fullmatch(text) and text not in WORDS
    return text if plain else json.dumps(text)


def scalar(value: Scalar) -> str:
    """A parameter's value; its type can be told from the text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ",".join(str(v) for v in value) + "]"
    if isinstance(value, str):
        return json.dumps(value)
    return repr(value)


def signature(inp: Shape, out: Shape) -> str:
    """`16x32x32 -> 32x16x16`; one shape where nothing changes."""
    return f"{inp}" if inp == out else f"{inp} -> {out}"


def _words(names: Iterable[str]) -> str:
    return " ".join(word(n) for n in names)


def _indent(lines: Iterable[str], depth: int = 1) -> Iterator[str]:
    for line in lines:
        yield "  " * depth + line


def _space(space: Space) -> Iterator[str]:
    yield f"space {word(space.name)}"
    yield f"  format {word(space.format)}"
    if space.classes is not None:
        yield f"  classes {space.classes}"
    for name, value in space.parameters:
        yield f"  parameter {word(name)} {json.dumps(value)}"
    for requirement in space.requires:
        yield from _indent(_requirement(requirement))
    if space.decisions:
        yield "  decisions"
        yield from _decisions(space.decisions, 2)
    for rules in space.rules:
        yield from _indent(_rules(rules))
    cells = Cells()
    for network in (space.supernet, space.target):
        cells.collect(network)
    for cell, name in cells.named:
        yield from _indent(_cell(cell, name, cells))
    yield from _indent(_network("supernet", space.supernet, cells))
    yield from _indent(_network("target", space.target, cells))


def _requirement(requirement: Requirement) -> Iterator[str]:
    of = "" if requirement.table is None else f" of {word(requirement.table)}"
    yield f"require {json.dumps(requirement.text)}{of}"
    stack: list[tuple[int, Test]] = [(1, requirement.test)]
    while stack:
        level, test = stack.pop()
        pad = "  " * level
        match test:
            case Measure():
                label = "" if test.label is None else f" {word(test.label)}"
                yield f"{pad}measure {word(test.name)}{label}"
            case Amount():
                yield f"{pad}amount {test.value}"
            case Negation():
                yield f"{pad}negation"
                stack.append((level + 1, test.inner))
            case Relation():
                yield f"{pad}relation {json.dumps(test.op)}"
                stack += [(level + 1, test.right), (level + 1, test.left)]


# ---- decisions


def _decisions(decisions: tuple[Decision, ...], depth: int) -> Iterator[str]:
    """Decisions and, below an option, those that exist only with it."""
    stack: list[tuple[int, Decision | str]] = [(depth, d) for d in reversed(decisions)]
    while stack:
        level, item = stack.pop()
        if isinstance(item, str):
            yield "  " * level + item
            continue
        count = "" if item.count is None else f" count {item.count}"
        head = f"decision {word(item.id)} table {word(item.table)} kind {word(item.kind)}{count}"
        if item.low is not None and item.high is not None:
            head += f" low {item.low} high {item.high}" + (" log" if item.log else "")
        # An option without decisions of its own and none at all are two things.
        yield "  " * level + head + (" nested" if item.nested else "")
        below: list[tuple[int, Decision | str]] = []
        for i, label in enumerate(item.labels):
            below.append((level + 1, f"option {word(label)}"))
            below.extend((level + 2, d) for d in (item.nested[i] if item.nested else ()))
        stack.extend(reversed(below))


def _rules(rules: TableRules) -> Iterator[str]:
    yield f"rules {word(rules.table)}"
    for node, identities in rules.rows:
        yield f"  row {_words([node, *identities])}"
    yield from _indent(_keeps(rules.keeps, rules.picks))


def _keeps(keeps: tuple[Keep, ...], picks: tuple[Pick, ...]) -> Iterator[str]:
    for keep in keeps:
        count = "all" if keep.count is None else str(keep.count)
        exclude = f" except {_words(keep.exclude)}" if keep.exclude else ""
        yield f"keep {count} per {_words(keep.targets)}{exclude}"
    for pick in picks:
        count = "all" if pick.count is None else str(pick.count)
        yield f"pick {count} per {_words(pick.targets)}"


# ---- cells


class Cells:
    """The different cells of a space by name, inner ones before those that use them."""

    def __init__(self) -> None:
        self.named: list[tuple[Cell, str]] = []
        self.seen: dict[int, str] = {}
        self.by_table: dict[str, list[tuple[Cell, str]]] = {}

    def collect(self, network: Network) -> None:
        """Name the cells of a network."""
        stages = network.stages if network.aux is None else (*network.stages, network.aux)
        for stage in stages:
            if isinstance(stage.body, Cell):
                self._cell(stage.body)
            else:
                self._op(stage.body)

    def _cell(self, cell: Cell) -> None:
        if id(cell) in self.seen:
            return
        alike = self.by_table.setdefault(cell.table, [])
        known = next((name for other, name in alike if other == cell), None)
        if known is None:
            for entry in cell.inputs:
                self._op(entry.prepare)
            for edge in cell.edges:
                self._op(edge.op)
            for node in cell.nodes:
                self._op(node.after)
            for op in _output_ops(cell.output):
                self._op(op)
            known = f"{cell.table}.{len(alike)}"
            alike.append((cell, known))
            self.named.append((cell, known))
        self.seen[id(cell)] = known

    def _op(self, op: Op) -> None:
        stack = [op]
        while stack:
            item = stack.pop()
            if isinstance(item, Nested):
                self._cell(item.cell)
            stack.extend(reversed(parts(item)))

    def name(self, cell: Cell) -> str:
        return self.seen[id(cell)]


def _output_ops(output: Output) -> list[Op]:
    found: list[Op] = []
    stack = [output]
    while stack:
        item = stack.pop()
        if isinstance(item, After):
            found.append(item.op)
            stack.append(item.inner)
        elif isinstance(item, Join):
            stack.extend(reversed(item.parts))
    return found


def _cell(cell: Cell, name: str, cells: Cells) -> Iterator[str]:
    yield f"cell {word(name)}"
    yield f"  name {word(cell.name)}"
    yield f"  table {word(cell.table)}"
    yield f"  stride {cell.stride}"
    yield f"  width {cell.width}"
    yield f"  out {cell.out}"
    for entry in cell.inputs:
        yield f"  input {word(entry.name)} : {entry.inp}"
        yield from _tree(entry.prepare, 2, cells)
    for node in cell.nodes:
        yield f"  node {word(node.name)} {word(node.how)}"
        yield from _tree(node.after, 2, cells)
    for edge in cell.edges:
        yield f"  edge {word(edge.source)} -> {word(edge.target)}"
        yield from _tree(edge.op, 2, cells)
    yield from _indent(_keeps(cell.keeps, cell.picks))
    yield "  output"
    yield from _tree(cell.output, 2, cells)


def _tree(root: Op | Output, depth: int, cells: Cells) -> Iterator[str]:
    """An operation or an output with everything inside it."""
    stack: list[tuple[int, Op | Output | str]] = [(depth, root)]
    while stack:
        level, item = stack.pop()
        pad = "  " * level
        below: list[tuple[int, Op | Output | str]] = []
        match item:
            case str():
                yield pad + item
            case Prim():
                attrs = "".join(f" {k}={scalar(v)}" for k, v in item.attrs)
                yield f"{pad}{word(item.kind)}{attrs} : {signature(item.inp, item.out)}"
            case Seq():
                yield f"{pad}seq : {signature(item.inp, item.out)}"
                below = [(level + 1, p) for p in item.parts]
            case Par():
                yield f"{pad}par {word(item.how)} : {signature(item.inp, item.out)}"
                below = [(level + 1, p) for p in item.parts]
            case Choice():
                more = " explored" if item.explored else ""
                yield f"{pad}choice {word(item.decision)}{more} : {signature(item.inp, item.out)}"
                for label, option in zip(item.labels, item.options, strict=True):
                    below += [(level + 1, f"option {word(label)}"), (level + 2, option)]
            case Varied():
                decisions = _words(item.decisions)
                yield f"{pad}varied {decisions} : {signature(item.inp, item.out)}"
                settings = product(*item.labels)
                for setting, option in zip(settings, item.options, strict=True):
                    below += [(level + 1, f"option {_words(setting)}"), (level + 2, option)]
            case Forms():
                decisions = _words(item.decisions)
                yield f"{pad}forms {decisions} : {signature(item.inp, item.out)}"
                below = [(level + 1, f"labels {_words(names)}") for names in item.labels]
                for number, option in enumerate(item.options):
                    places = " ".join(str(i) for i, f in enumerate(item.form) if f == number)
                    below += [(level + 1, f"form {places}"), (level + 2, option)]
            case Nested():
                name = word(cells.name(item.cell))
                yield f"{pad}cell {name} : {signature(item.inp, item.out)}"
            case Arrival():
                yield f"{pad}arrival {word(item.node)}"
            case Join():
                yield f"{pad}join {word(item.how)}"
                below = [(level + 1, p) for p in item.parts]
            case After():
                yield f"{pad}after"
                below = [(level + 1, item.inner), (level + 1, item.op)]
        stack.extend(reversed(below))


# ---- networks


def _network(role: str, network: Network, cells: Cells) -> Iterator[str]:
    yield f"network {role} {word(network.name)}"
    yield f"  input {network.inp}"
    for i, stage in enumerate(network.stages):
        yield from _stage(f"stage {i}", stage, cells)
    if network.aux is not None:
        yield from _stage("aux", network.aux, cells)


def _stage(head: str, stage: Stage, cells: Cells) -> Iterator[str]:
    inputs = " ".join("input" if i == -1 else str(i) for i in stage.inputs)
    yield f"  {head} {word(stage.name)} {word(stage.role)} from {inputs} : {stage.out}"
    for decision, path, number in stage.rounds:
        yield f"    round {word(decision)} {word(path)} {number}"
    if isinstance(stage.body, Cell):
        yield f"    cell {word(cells.name(stage.body))}"
    else:
        yield from _tree(stage.body, 2, cells)
