"""Invariants of a space, as a list of small named checks.

`verify(space)` gives a message per violation, `check: place: what is wrong`; an empty list means
that the space is sound. Every pass may assume a sound space and must leave one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nasdsl.ir.cell import AGGREGATORS, After, Arrival, Cell, Join, Keep, Output, Pick, arrivals
from nasdsl.ir.op import Choice, Forms, Nested, Op, Par, Prim, Seq, Varied, parts
from nasdsl.ir.optable import OPS, ShapeError
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Decision, Network, Space, Stage


def verify(space: Space) -> list[str]:
    """What is wrong with a space, a line each; nothing where it is sound."""
    view = _view(space)
    found: list[str] = []
    for check in CHECKS:
        name = check.__name__.lstrip("_")
        found.extend(f"{name}: {message}" for message in check(view))
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _View:
    """A space with its parts laid out: each cell once, each operation with its place."""

    space: Space
    networks: tuple[Network, ...]
    #: Place, network, position (an auxiliary head stands behind all), stage.
    stages: tuple[tuple[str, Network, int, Stage], ...]
    cells: tuple[tuple[str, Cell], ...]
    ops: tuple[tuple[str, Op], ...]
    #: Cells that still hold their decisions: those of the supernet.
    open: tuple[tuple[str, Cell], ...]
    decisions: dict[str, Decision]


def _view(space: Space) -> _View:
    stages: list[tuple[str, Network, int, Stage]] = []
    cells: list[tuple[str, Cell]] = []
    ops: list[tuple[str, Op]] = []
    seen: set[int] = set()
    opened = 0
    for network in (space.supernet, space.target):
        role = "supernet" if network is space.supernet else "target"
        standing = network.stages if network.aux is None else (*network.stages, network.aux)
        for i, stage in enumerate(standing):
            place = f"{role} {stage.name}"
            stages.append((place, network, i, stage))
            todo: list[tuple[str, Op | Cell]] = [(place, stage.body)]
            while todo:
                where, item = todo.pop()
                if isinstance(item, Cell):
                    if id(item) not in seen:
                        seen.add(id(item))
                        cells.append((where, item))
                        todo.extend((f"{where} {key}", op) for key, op in _operations(item))
                    continue
                ops.append((where, item))
                todo.extend((where, part) for part in parts(item))
                if isinstance(item, Nested):
                    todo.append((f"{where} ({item.cell.name})", item.cell))
        opened = opened or len(cells)
    return _View(
        space=space,
        networks=(space.supernet, space.target),
        stages=tuple(stages),
        cells=tuple(cells),
        ops=tuple(ops),
        open=tuple(cells[:opened]),
        decisions={d.id: d for d in _every(space.decisions)},
    )


def _every(decisions: tuple[Decision, ...]) -> Iterator[Decision]:
    stack = list(reversed(decisions))
    while stack:
        decision = stack.pop()
        yield decision
        for below in reversed(decision.nested):
            stack.extend(reversed(below))


def _operations(cell: Cell) -> list[tuple[str, Op]]:
    """Operations of a cell with their places; like `ir.cell.operations`, without recursion."""
    found: list[tuple[str, Op]] = [(e.name, e.prepare) for e in cell.inputs]
    found += [(e.key, e.op) for e in cell.edges]
    found += [(n.name, n.after) for n in cell.nodes]
    found += [("out", item.op) for item in _outputs(cell.output) if isinstance(item, After)]
    return found


def _outputs(output: Output) -> list[Output]:
    """An output and everything inside it, innermost last."""
    found: list[Output] = []
    stack = [output]
    while stack:
        item = stack.pop()
        found.append(item)
        if isinstance(item, Join):
            stack.extend(item.parts)
        elif isinstance(item, After):
            stack.append(item.inner)
    return found


# ---- operations


def _primitive(view: _View) -> Iterator[str]:
    """Every primitive is in the op table, with its parameters, and has the shape of its rule."""
    known: dict[tuple[object, ...], str | None] = {}
    for place, op in view.ops:
        if not isinstance(op, Prim):
            continue
        key = (op.kind, op.attrs, op.inp, op.out)
        if key not in known:
            known[key] = _prim(op)
        message = known[key]
        if message is not None:
            yield f"{place}: {message}"


def _prim(op: Prim) -> str | None:
    spec = OPS.get(op.kind)
    if spec is None:
        return f"`{op.kind}` is not in the op table"
    names, wanted = tuple(k for k, _ in op.attrs), tuple(p.name for p in spec.params)
    if names != wanted:
        return f"`{op.kind}` has the parameters {_list(names)}, not {_list(wanted)}"
    try:
        out = spec.shape(dict(op.attrs), op.inp)
    except (ShapeError, TypeError, KeyError, ValueError, IndexError) as error:
        return f"`{op.kind}` cannot take {op.inp}: {error}"
    if out != op.out:
        return f"`{op.kind}` on {op.inp} yields {out}, not {op.out}"
    return None


def _sequence(view: _View) -> Iterator[str]:
    """In a sequence each part takes what the one before yields."""
    for place, op in view.ops:
        if isinstance(op, Seq):
            shape = op.inp
            for i, part in enumerate(op.parts):
                if part.inp != shape:
                    yield f"{place}: part {i} takes {part.inp}, {shape} arrives"
                shape = part.out
            if shape != op.out:
                yield f"{place}: the sequence ends with {shape}, not {op.out}"


def _parallel(view: _View) -> Iterator[str]:
    """Parallel parts take the same input and fit together."""
    for place, op in view.ops:
        if not isinstance(op, Par):
            continue
        if op.how not in ("sum", "concat", "picked"):
            yield f"{place}: `{op.how}` joins nothing"
        if not op.parts:
            yield f"{place}: nothing is parallel"
            continue
        for i, part in enumerate(op.parts):
            if part.inp != op.inp:
                yield f"{place}: branch {i} takes {part.inp}, {op.inp} arrives"
        out = _joined(op.how, [p.out for p in op.parts])
        if out != op.out:
            yield f"{place}: the branches give {out}, not {op.out}"


def _joined(how: str, shapes: list[Shape]) -> Shape | None:
    """The shape that an aggregator makes; None where the shapes do not fit together."""
    first = shapes[0]
    if how in ("concat", "split"):
        if any(s.kind != first.kind or s.space != first.space for s in shapes):
            return None
        return first.with_channels(sum(s.channels for s in shapes))
    return first if all(s == first for s in shapes) else None


def _choice(view: _View) -> Iterator[str]:
    """The options of a choice have one shape, and a label each."""
    for place, op in view.ops:
        if not isinstance(op, Choice):
            continue
        if len(op.labels) != len(op.options):
            yield f"{place}: {len(op.labels)} labels for {len(op.options)} options"
        if len(set(op.labels)) != len(op.labels):
            yield f"{place}: a label stands twice in {_list(op.labels)}"
        # One option is left where a search has settled a decision.
        if not op.options:
            yield f"{place}: `{op.decision}` has no options; that is no choice"
        for label, option in zip(op.labels, op.options, strict=False):
            if option.inp != op.inp or option.out != op.out:
                yield (
                    f"{place}: option `{label}` is {option.inp} -> {option.out}, "
                    f"the choice {op.inp} -> {op.out}"
                )


def _varied(view: _View) -> Iterator[str]:
    """What varies has an option per setting: one kind, valid, none larger than the whole."""
    for place, op in view.ops:
        if not isinstance(op, Varied | Forms):
            continue
        what = op.options[0].kind if isinstance(op, Varied) and op.options else "forms"
        settings = 1
        for names in op.labels:
            settings *= len(names)
        count = len(op.options) if isinstance(op, Varied) else len(op.form)
        if len(op.labels) != len(op.decisions) or count != settings or not op.options:
            yield f"{place}: {what}: {count} options for {settings} settings"
            continue
        if isinstance(op, Forms) and set(op.form) != set(range(len(op.options))):
            yield f"{place}: forms: {len(op.options)} forms, the settings name others"
        if isinstance(op, Varied):
            if len({o.kind for o in op.options}) > 1:
                yield f"{place}: {what}: its options are of several kinds"
            for prim in dict.fromkeys(op.options):
                message = _prim(prim)
                if message is not None:
                    yield f"{place}: {message}"
        every: tuple[Op, ...] = op.options
        for option in dict.fromkeys(every):
            if not (_within(option.inp, op.inp) and _within(option.out, op.out)):
                yield f"{place}: {what}: {option.inp} -> {option.out} is not within the whole"


def _within(small: Shape, large: Shape) -> bool:
    same = small.kind == large.kind and len(small.dims) == len(large.dims)
    return same and all(a <= b for a, b in zip(small.dims, large.dims, strict=True))


def _nested(view: _View) -> Iterator[str]:
    """A cell used as an operation has one input and the shapes of its place."""
    for place, op in view.ops:
        if not isinstance(op, Nested):
            continue
        if len(op.cell.inputs) != 1:
            yield f"{place}: cell `{op.cell.name}` has {len(op.cell.inputs)} inputs, not one"
        elif op.cell.inputs[0].inp != op.inp:
            yield f"{place}: cell `{op.cell.name}` takes {op.cell.inputs[0].inp}, not {op.inp}"
        if op.cell.out != op.out:
            yield f"{place}: cell `{op.cell.name}` yields {op.cell.out}, not {op.out}"


# ---- cells


def _names(view: _View) -> Iterator[str]:
    """Inputs and nodes of a cell have different names; none is `out`."""
    for place, cell in view.cells:
        names = [e.name for e in cell.inputs] + [n.name for n in cell.nodes]
        if not cell.inputs:
            yield f"{place}: the cell has no input"
        for name in dict.fromkeys(n for n in names if names.count(n) > 1):
            yield f"{place}: `{name}` is the name of two nodes"
        if "out" in names:
            yield f"{place}: `out` is the name of a node"


def _edges(view: _View) -> Iterator[str]:
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


def _cell_shapes(view: _View) -> Iterator[str]:
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
            joined = _joined(node.how, arriving)
            if joined != node.after.inp:
                found = "do not fit together" if joined is None else f"give {joined}"
                yield f"{place} {node.name}: its arrivals {found}, {node.after.inp} is wanted"


def _output(view: _View) -> Iterator[str]:
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
        for item in reversed(_outputs(cell.output)):
            match item:
                case Arrival():
                    made[id(item)] = through.get(item.node, shapes[item.node])
                case Join():
                    below = [made[id(p)] for p in item.parts]
                    fit = [s for s in below if s is not None]
                    joined = _joined(item.how, fit) if fit and len(fit) == len(below) else None
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


def _graph(view: _View) -> Iterator[str]:
    """The graph of a cell is frozen and has no cycle."""
    import networkx as nx

    for place, cell in view.cells:
        graph = cell.graph()
        if not nx.is_frozen(graph):
            yield f"{place}: the graph of the cell is not frozen"
        if not nx.is_directed_acyclic_graph(graph):
            yield f"{place}: the graph of the cell has a cycle"


def _rules(view: _View) -> Iterator[str]:
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


# ---- decisions


def _decisions(view: _View) -> Iterator[str]:
    """Every decision has one identity, its labels once each, and a group per label if nested.

    A decision may be conditional on several options, as those of a round are on every depth
    that reaches it; then it is the same everywhere.
    """
    known: dict[str, Decision] = {}
    for decision in _every(view.space.decisions):
        if known.setdefault(decision.id, decision) != decision:
            yield f"`{decision.id}` is two different decisions"
        for group in decision.nested:
            yield from _unique(group)
        if len(set(decision.labels)) != len(decision.labels):
            yield f"`{decision.id}`: a label stands twice in {_list(decision.labels)}"
        if decision.nested and len(decision.nested) != len(decision.labels):
            yield (
                f"`{decision.id}`: {len(decision.nested)} groups below "
                f"{len(decision.labels)} options"
            )
    yield from _unique(view.space.decisions)


def _unique(group: tuple[Decision, ...]) -> Iterator[str]:
    names = [d.id for d in group]
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        yield f"`{name}` stands twice"


def _decided(view: _View) -> Iterator[str]:
    """Every choice has its decision, with the same labels."""
    for place, op in view.ops:
        if isinstance(op, Choice):
            decision = view.decisions.get(op.decision)
            if decision is None:
                yield f"{place}: there is no decision `{op.decision}`"
            elif decision.labels != op.labels:
                yield (
                    f"{place}: `{op.decision}` decides between {_list(decision.labels)}, "
                    f"the choice between {_list(op.labels)}"
                )
        elif isinstance(op, Varied | Forms):
            for name, labels in zip(op.decisions, op.labels, strict=False):
                decision = view.decisions.get(name)
                if decision is None or decision.labels != labels:
                    yield f"{place}: there is no decision `{name}` among {_list(labels)}"


def _tables(view: _View) -> Iterator[str]:
    """Rules belong to a cell's table; their rows are its edges."""
    standing: dict[str, set[str]] = {}
    for _, cell in view.open:
        rows = standing.setdefault(cell.table, set())
        rows.update(f"{cell.table}/{e.key}" for e in cell.edges)
    for rules in view.space.rules:
        known = standing.get(rules.table)
        if known is None:
            yield f"rules of `{rules.table}`, which is no cell's table"
            continue
        for node, identities in rules.rows:
            for identity in identities:
                if identity not in known:
                    yield f"rules of `{rules.table}`: `{node}` has no edge `{identity}`"


# ---- networks


def _stages(view: _View) -> Iterator[str]:
    """A stage reads earlier stages; its shapes are theirs and its own output."""
    for place, network, index, stage in view.stages:
        shapes: list[Shape] = []
        for i in stage.inputs:
            if not -1 <= i < index:
                yield f"{place}: it reads stage {i}, which does not come before it"
            else:
                shapes.append(network.inp if i < 0 else network.stages[i].out)
        if not stage.inputs:
            yield f"{place}: it reads nothing"
        if len(shapes) < len(stage.inputs) or not shapes:
            continue
        if isinstance(stage.body, Cell):
            wanted = [e.inp for e in stage.body.inputs]
            if wanted != shapes:
                yield f"{place}: the cell takes {_shapes(wanted)}, {_shapes(shapes)} arrive"
        elif stage.body.inp != shapes[-1]:
            yield f"{place}: it takes {stage.body.inp}, {shapes[-1]} arrives"
        if stage.body.out != stage.out:
            yield f"{place}: it yields {stage.body.out}, the stage says {stage.out}"


def _rounds(view: _View) -> Iterator[str]:
    """Rounds belong to decisions among depths, which reach them, and stand in order."""
    for network in view.networks:
        last: dict[str, int] = {}
        for stage in network.stages:
            for name, path, number in stage.rounds:
                decision = view.decisions.get(name)
                depths = [int(n) for n in decision.labels if n.isdigit()] if decision else []
                if decision is None or decision.kind != "depth" or not depths:
                    yield f"{stage.name}: `{name}` decides no depth"
                elif not 1 <= number <= max(depths):
                    yield f"{stage.name}: round {number} of `{name}`, at most {max(depths)}"
                if number < last.get(path, 1):
                    yield f"{stage.name}: round {number} of {path} stands behind a later one"
                last[path] = number


def _stage_names(view: _View) -> Iterator[str]:
    """Stages of a network have different names; the head is last."""
    for network in view.networks:
        role = "supernet" if network is view.space.supernet else "target"
        names = [s.name for s in network.stages]
        if not names:
            yield f"{role}: no stages"
        for name in dict.fromkeys(n for n in names if names.count(n) > 1):
            yield f"{role}: two stages are called `{name}`"
        for stage in network.stages[:-1]:
            if stage.role == "head":
                yield f"{role}: `{stage.name}` is a head, but not last"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def _shapes(shapes: list[Shape]) -> str:
    return " and ".join(str(s) for s in shapes)


CHECKS: tuple[Callable[[_View], Iterator[str]], ...] = (
    _primitive,
    _sequence,
    _parallel,
    _choice,
    _varied,
    _nested,
    _names,
    _edges,
    _cell_shapes,
    _output,
    _graph,
    _rules,
    _decisions,
    _decided,
    _tables,
    _stages,
    _rounds,
    _stage_names,
)
