"""The cells of a genotype as plain graphs: vertices, what arrives at each, under which operation.

This is what isomorphism, the measures of a cell and distances are about: which operation feeds
which sum, without shapes. A `Wiring` reads a space once and gives the graph of any of its genotypes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nasdsl.ir.cell import After, Arrival, Cell, Join, Output, arrivals
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.op import Choice, Nested, Op, parts
from nasdsl.ir.slot import (
    IDENTITY,
    ZERO,
    Picks,
    Slot,
    described,
    inside,
    operations,
    slot_of,
    tables_in,
)
from nasdsl.ir.space import Decision, Space


@dataclass(frozen=True, slots=True)
class Vertex:
    """Terms (operation, number of an earlier vertex) joined by `how`, then an operation.

    `how` is `input`, `sum`, `mean`, `mul`, `concat` or `split`; an input has no terms.
    """

    name: str
    how: str
    terms: tuple[tuple[str, int], ...]
    after: str = IDENTITY


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge of a discrete cell, or with equal ends the operation of a node, which may be cut.

    `label` is what was picked (the whole operation where nothing was), `op` what it does.
    """

    source: str
    target: str
    label: str
    op: str


@dataclass(frozen=True, slots=True)
class _Table:
    """A cell as far as all its instances agree."""

    cell: Cell
    inputs: tuple[Slot, ...]
    edges: dict[str, tuple[tuple[str, Slot], ...]]
    after: dict[str, Slot]
    #: Nodes whose incoming edges are picked, by the decision that picks.
    picked: dict[str, str]
    #: Decisions of the table that stand on no edge and no node.
    rest: tuple[str, ...]
    known: frozenset[str]


class Wiring:
    """The cells of a space, by table; those inside cells and operations included."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.decisions = every(space.decisions)
        instances: dict[str, list[Cell]] = {}
        #: Tables of the cells that stand in the network itself.
        self.top = tuple(_collect(space, instances))
        self.tables = {name: self._table(name, found) for name, found in instances.items()}
        used = {i for table in self.tables.values() for i in table.known}
        #: Decisions outside cells, with the tables their labels bring.
        self.rest = tuple(i for i in self.decisions if i not in used)
        self.brings = _brings(space)

    def _table(self, name: str, cells: list[Cell]) -> _Table:
        cell = cells[0]
        # A cell with parameters may have other edges elsewhere; the first instance speaks for it.
        shape = _outline(cell)
        cells = [c for c in cells if _outline(c) == shape]
        ids = [i for i in self.decisions if i.startswith(f"{name}/")]
        known: set[str] = set()

        def slot(identity: str, ops: list[Op]) -> Slot:
            inner = tuple(i for i in ids if i.startswith(f"{identity}."))
            known.update(inner, {identity} & set(ids))
            return slot_of(identity, ops, inner)

        inputs = tuple(
            slot(f"{name}/{entry.name}", [c.inputs[i].prepare for c in cells])
            for i, entry in enumerate(cell.inputs)
        )
        edges: dict[str, tuple[tuple[str, Slot], ...]] = {}
        for i, edge in enumerate(cell.edges):
            made = slot(f"{name}/{edge.key}", [c.edges[i].op for c in cells])
            edges[edge.target] = (*edges.get(edge.target, ()), (edge.source, made))
        after = {
            node.name: slot(f"{name}/{node.name}", [c.nodes[i].after for c in cells])
            for i, node in enumerate(cell.nodes)
        }
        picked = {t: f"{name}/{t}<-*" for pick in cell.picks for t in pick.targets}
        known.update(picked.values())
        rest = tuple(i for i in ids if i not in known)
        return _Table(cell, inputs, edges, after, picked, rest, frozenset({*known, *rest}))

    def decided(self, table: str, picks: Picks) -> bool:
        """Whether a genotype says something of a table, or has nothing to say."""
        known = self.tables[table].known
        return not known or any(i in picks for i in known)

    def cell(
        self,
        table: str,
        picks: Picks,
        genotype: Genotype,
        cells: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[Vertex, ...]:
        """The discrete cell of a table; the last vertex is its output.

        A node at which nothing arrives is not there: nothing reads it, though it keeps its number.
        `cells` names cells inside.
        """
        found = self.tables[table]
        vertices: list[Vertex] = []
        at: dict[str, int] = {}
        dropped: set[str] = set()
        for entry, slot in zip(found.cell.inputs, found.inputs, strict=True):
            at[entry.name] = len(vertices)
            extra = inside(slot, picks)
            vertices.append(Vertex(entry.name, "input", (), extra or IDENTITY))
        for node in found.cell.nodes:
            arriving = self._arrivals(found, node.name, picks, cells)
            terms = tuple((op, at[source]) for source, _, op in arriving if source not in dropped)
            if not terms:
                dropped.add(node.name)
            after = operations(found.after[node.name], picks, cells)
            at[node.name] = len(vertices)
            vertices.append(Vertex(node.name, node.how, terms, after[0][1] if after else IDENTITY))
        through = dict(found.edges.get("out", ()))
        chosen = picks.get(found.picked.get("out", ""), ()) if "out" in found.picked else None
        replaced = dict(genotype.outputs).get(table)
        output: Output = found.cell.output
        if replaced is not None:
            output = Join(how="concat", parts=tuple(Arrival(node=n) for n in replaced))
            through, chosen = {}, None
        build = _Output(vertices, at, dropped, through, chosen, picks, cells)
        op, last = build.add(output)
        if op != IDENTITY or last != len(vertices) - 1:
            vertices.append(Vertex("out", "sum", ((op, last),)))
        return tuple(vertices)

    def _arrivals(
        self,
        table: _Table,
        node: str,
        picks: Picks,
        cells: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[tuple[str, str, str]]:
        """Source, label and operation of what arrives at a node."""
        chosen = picks.get(table.picked[node], ()) if node in table.picked else None
        for source, slot in table.edges.get(node, ()):
            if chosen is None or source in chosen:
                for label, op in operations(slot, picks, cells):
                    yield source, label, op

    def edges(self, table: str, picks: Picks, genotype: Genotype) -> tuple[Edge, ...]:
        """Edges and operations of nodes that lie on a path from an input to the output.

        Edges of zeros are none. The output reads nodes through its edges, or without any.
        """
        found = self.tables[table]
        inputs = [entry.name for entry in found.cell.inputs]
        nodes = [node.name for node in found.cell.nodes]
        made = [
            Edge(source, target, label, op)
            for target in (*nodes, "out")
            for source, label, op in self._arrivals(found, target, picks)
            if op != ZERO
        ]
        replaced = dict(genotype.outputs).get(table)
        if replaced is not None:
            made = [e for e in made if e.target != "out"]
        through = () if replaced is not None else {s for s, _ in found.edges.get("out", ())}
        joined = arrivals(found.cell.output) if replaced is None else replaced
        ends = {e.source for e in made if e.target == "out"}
        ends |= {name for name in joined if name not in through}
        reached = set(inputs)
        for edge in made:  # targets in order, so sources are settled before
            if edge.source in reached:
                reached.add(edge.target)
        for edge in reversed(made):
            if edge.target in ends:
                ends.add(edge.source)
        alive = reached & ends
        kept = [e for e in made if e.source in alive and e.target in alive | {"out"}]
        for node in nodes:
            if node in alive:
                ops = operations(found.after[node], picks)
                kept += [Edge(node, node, *op) for op in ops if op[1] != IDENTITY]
        return tuple(kept)

    def brought(self, table: str, picks: Picks) -> Iterator[str]:
        """Tables of the cells that stand in the discrete cell as operations."""
        found = self.tables[table]
        slots = [*found.inputs, *found.after.values()]
        slots += [slot for edges in found.edges.values() for _, slot in edges]
        for slot in slots:
            for label in ("", *picks.get(slot.identity, ())):
                yield from slot.cells.get(label, ())


def every(decisions: tuple[Decision, ...]) -> dict[str, Decision]:
    """Decisions by identity, with those below options."""
    found: dict[str, Decision] = {}
    todo = list(reversed(decisions))
    while todo:
        decision = todo.pop()
        if decision.id not in found:
            found[decision.id] = decision
            todo.extend(d for inner in reversed(decision.nested) for d in reversed(inner))
    return found


def picks_of(genotype: Genotype) -> Picks:
    """Labels by decision, in order."""
    found: dict[str, list[str]] = {}
    for identity, label in genotype.picks:
        found.setdefault(identity, []).append(label)
    return {identity: tuple(labels) for identity, labels in found.items()}


@dataclass(frozen=True, slots=True)
class _Output:
    """Puts an output together: its joins become vertices of their own."""

    vertices: list[Vertex]
    at: dict[str, int]
    dropped: set[str]
    #: Edges to the output, and which of them were picked, where that is decided.
    through: dict[str, Slot]
    chosen: tuple[str, ...] | None
    picks: Picks
    cells: Mapping[str, str]

    def add(self, output: Output) -> tuple[str, int]:
        """The operation and the vertex that give an output."""
        match output:
            case Arrival():
                at = self.at[output.node]
                if self._left_out(output):
                    return ZERO, at
                ops = [IDENTITY]
                if output.node in self.through:
                    found = operations(self.through[output.node], self.picks, self.cells)
                    ops = [op for _, op in found]
                if len(ops) == 1:
                    return ops[0], at
                self.vertices.append(Vertex("out", "sum", tuple((op, at) for op in ops)))
            case Join():
                # What is not there is no part of a join; what yields zeros is.
                terms = tuple(self.add(p) for p in output.parts if not self._left_out(p))
                self.vertices.append(Vertex("out", output.how, terms))
            case After():
                term = self.add(output.inner)
                after = described(output.op, self.picks, self.cells)
                self.vertices.append(Vertex("out", "sum", (term,), after))
        return IDENTITY, len(self.vertices) - 1

    def _left_out(self, part: Output) -> bool:
        if not isinstance(part, Arrival):
            return False
        unpicked = self.chosen is not None and part.node not in self.chosen
        return part.node in self.dropped or (unpicked and part.node in self.through)


def _outline(cell: Cell) -> tuple[int, list[str], list[str]]:
    return len(cell.inputs), [n.name for n in cell.nodes], [e.key for e in cell.edges]


def _collect(space: Space, into: dict[str, list[Cell]]) -> Iterator[str]:
    """Every cell once per different instance; yields tables that stand in the network."""
    seen: set[int] = set()
    todo: list[tuple[Op | Cell, bool]] = []
    top: dict[str, None] = {}
    for stage in space.supernet.stages:
        todo.append((stage.body, True))
    todo.reverse()
    while todo:
        item, outside = todo.pop()
        if isinstance(item, Cell):
            if outside:
                top.setdefault(item.table)
            if id(item) in seen:
                continue
            seen.add(id(item))
            into.setdefault(item.table, []).append(item)
            ops: list[Op] = [e.prepare for e in item.inputs]
            ops += [e.op for e in item.edges]
            ops += [n.after for n in item.nodes]
            todo.extend((op, False) for op in reversed(ops))
            continue
        if isinstance(item, Nested):
            todo.append((item.cell, outside))
        # What a choice brings stands in the network only where it is picked.
        still = outside and not isinstance(item, Choice)
        todo.extend((part, still) for part in reversed(parts(item)))
    yield from top


def _brings(space: Space) -> dict[tuple[str, str], tuple[str, ...]]:
    """Cells that a decision outside cells brings: by decision and label."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    todo: list[Op] = [s.body for s in space.supernet.stages if not isinstance(s.body, Cell)]
    while todo:
        op = todo.pop()
        if isinstance(op, Choice):
            for label, option in zip(op.labels, op.options, strict=True):
                tables = tuple(tables_in(option))
                if tables:
                    found.setdefault((op.decision, label), tables)
        todo.extend(parts(op))
    return found
