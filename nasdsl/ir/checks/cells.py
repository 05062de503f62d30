"""Cells: names, edges, shapes along them, the output, the graph, and rules."""

from __future__ import annotations

from collections.abc import Iterator

from nasdsl.ir.cell import AGGREGATORS, After, Arrival, Cell, Join, Keep, Pick, arrivals
from nasdsl.ir.checks.operations import joined_shape
from nasdsl.ir.checks.view import View, outputs_within
from nasdsl.ir.op import Choice
from nasdsl.ir.shape import Shape


def names(view: View) -> Iterator[str]:
    """Inputs and nodes of a cell have different names; none is `out`."""
    for place, cell in view.cells:
        names = [e.name for e in cell.inputs] + [n.name for n in cell.nodes]
        if not cell.inputs:
            yield f"{place}: the cell has no input"
        for name in dict.fromkeys(n for n in names if names.count(n) > 1):
            yield f"{place}: `{name}` is the name of two nodes"
        if "out" in names:
            yield f"{place}: `out` is the name of a node"


def edges(view: View) -> Iterator[str]:
    """Edges join existing nodes, run forward, and are one per pair."""
    for place, cell in view.cells:
        position = _positions(cell)
        inputs = {e.name for e in cell.inputs}
        seen: set[str] = set()
        for edge in cell.edges:
            for end in (edge.source, edge.target):
                if end not in position:
                    yield f"{place}: edge {edge.key}: there is no node `{end}`"
            if edge.target in inputs:
                yield f"{place}: edge {edge.key} runs into an input"
            elif position.get(edge.source, -1) >= position.get(edge.target, len(position)):
                yield f"{place}: edge {edge.key} runs backwards"
            if edge.key in seen:
                yield f"{place}: edge {edge.key} stands twice"
            seen.add(edge.key)


def _positions(cell: Cell) -> dict[str, int]:
    names = [e.name for e in cell.inputs] + [n.name for n in cell.nodes] + ["out"]
    return {name: i for i, name in enumerate(names)}


def cell_shapes(view: View) -> Iterator[str]:
    """Along the edges of a cell the shapes chain, at every node they join."""
    for place, cell in view.cells:
        shapes = {e.name: e.prepare.out for e in cell.inputs}
        shapes.update((n.name, n.after.out) for n in cell.nodes)
        for entry in cell.inputs:
            if entry.prepare.inp != entry.inp:
                yield f"{place} {entry.name}: takes {entry.prepare.inp}, {entry.inp} arrives"
        for edge in cell.edges:
            shape = shapes.get(edge.source)
            if shape is not None and edge.op.inp != shape:
                yield f"{place} {edge.key}: takes {edge.op.inp}, `{edge.source}` is {shape}"
        for node in cell.nodes:
            if node.how not in AGGREGATORS:
                yield f"{place} {node.name}: `{node.how}` joins nothing"
            arriving = [e.op.out for e in cell.into(node.name)]
            if not arriving:
                yield f"{place} {node.name}: nothing reaches it"
                continue
            joined = joined_shape(node.how, arriving)
            if joined != node.after.inp:
                found = "do not fit together" if joined is None else f"give {joined}"
                yield f"{place} {node.name}: its arrivals {found}, {node.after.inp} is wanted"


def output(view: View) -> Iterator[str]:
    """A cell's output reads existing nodes and has the cell's shape."""
    for place, cell in view.cells:
        shapes = {e.name: e.prepare.out for e in cell.inputs}
        shapes.update((n.name, n.after.out) for n in cell.nodes)
        through = {e.source: e.op.out for e in cell.edges if e.target == "out"}
        missing = [n for n in arrivals(cell.output) if n not in shapes]
        for name in dict.fromkeys(missing):
            yield f"{place}: the output reads `{name}`, which is no node"
        if missing:
            continue
        made: dict[int, Shape | None] = {}
        for item in reversed(outputs_within(cell.output)):
            match item:
                case Arrival():
                    made[id(item)] = through.get(item.node, shapes[item.node])
                case Join():
                    below = [made[id(p)] for p in item.parts]
                    fit = [s for s in below if s is not None]
                    joined = joined_shape(item.how, fit) if fit and len(fit) == len(below) else None
                    if item.how == "split" and joined is not None:
                        joined = joined.with_channels(cell.width)
                    if item.how not in (*AGGREGATORS, "split"):
                        yield f"{place}: `{item.how}` joins nothing"
                    elif joined is None:
                        yield f"{place}: what the output joins does not fit together"
                    made[id(item)] = joined
                case After():
                    inner = made[id(item.inner)]
                    if inner is not None and item.op.inp != inner:
                        yield f"{place} out: takes {item.op.inp}, {inner} arrives"
                    made[id(item)] = item.op.out
        out = made[id(cell.output)]
        if out is not None and out != cell.out:
            yield f"{place}: the output is {out}, the cell says {cell.out}"


def graph(view: View) -> Iterator[str]:
    """The graph of a cell is frozen and has no cycle."""
    import networkx as nx

    for place, cell in view.cells:
        graph = cell.graph()
        if not nx.is_frozen(graph):
            yield f"{place}: the graph of the cell is not frozen"
        if not nx.is_directed_acyclic_graph(graph):
            yield f"{place}: the graph of the cell has a cycle"


def rules(view: View) -> Iterator[str]:
    """Keep and pick speak of existing nodes, with counts and exclusions that leave something."""
    for place, cell in view.open:
        targets = {n.name for n in cell.nodes} | {"out"}
        rules: tuple[Keep | Pick, ...] = (*cell.keeps, *cell.picks)
        kept = [t for rule in rules for t in rule.targets]
        for name in dict.fromkeys(t for t in kept if kept.count(t) > 1):
            yield f"{place}: `{name}` has two rules of `keep` and `pick`"
        for rule in rules:
            yield from (f"{place}: {m}" for m in _rule(rule, cell, targets))


def _rule(rule: Keep | Pick, cell: Cell, targets: set[str]) -> Iterator[str]:
    what = "keep" if isinstance(rule, Keep) else "pick"
    if rule.count is not None and rule.count < 1:
        yield f"`{what} {rule.count}` leaves no edge"
    for target in rule.targets:
        if target not in targets:
            yield f"`{what}` speaks of `{target}`, which is no node"
            continue
        into = cell.into(target)
        if isinstance(rule, Pick):
            if rule.count is not None and rule.count > len(into):
                yield f"`pick {rule.count}` at `{target}`, which {len(into)} edges reach"
            continue
        for edge in into:
            if isinstance(edge.op, Choice) and set(edge.op.labels) <= set(rule.exclude):
                yield f"`keep` excludes every option of {edge.key}"
