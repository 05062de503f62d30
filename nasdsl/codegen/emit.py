"""Network to torch.fx: every primitive a module call, every choice a weighted sum or one path.

The graph is a pure function. A supernet is `f(x, mix)`, in one-path mode `f(x, mix, pick)`; a
discrete network is `f(x)`, for training with drop-path `f(x, keep)`. `mix`, `pick` and `keep`
are mappings; a key per cell instance addresses the mix of exactly that instance. With the picks of
a genotype a supernet is emitted as the part of it that they name, `f(x)`.

Modules are named by place and operation (`normal_0.x1_prev.sep_conv_3x3.dwconv`), the same in
every mode, so that a state dict fits all of them. Every node carries the line of its `.nas` text.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from nasdsl.codegen import entangle, rounds, widths
from nasdsl.codegen.two import Two
from nasdsl.codegen.widths import Widths
from nasdsl.fusion.deferred import Deferred
from nasdsl.ir.cell import (
    After,
    Arrival,
    Cell,
    CellEdge,
    CellNode,
    Join,
    Output,
    operations,
    shares,
)
from nasdsl.ir.entangling import way
from nasdsl.ir.op import (
    Choice,
    Forms,
    Nested,
    Op,
    Par,
    Prim,
    Seq,
    Varied,
    is_identity,
    is_none,
    walk,
)
from nasdsl.ir.space import Network, Stage
from nasdsl.ops.edits import Explorer
from nasdsl.ops.plain import zeros_beside
from nasdsl.ops.table import module
from nasdsl.source import Span


@dataclass(frozen=True, slots=True)
class Slot:
    """Where an instance finds its mix: its key, the table it belongs to, its decisions."""

    instance: str
    table: str
    decisions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Emitted:
    """A graph over a tree of modules."""

    module: fx.GraphModule
    slots: tuple[Slot, ...] = ()
    #: Edges that drop-path may drop, in order.
    droppable: tuple[str, ...] = ()
    #: Module paths by the identity of primitives, for copying weights.
    paths: Mapping[int, str] = field(default_factory=dict)
    #: Where the modules of each option stand: decision and label by path.
    options: Mapping[str, tuple[str, str]] = field(default_factory=dict)


class OnePath(nn.Module):
    """A choice of which only the picked operation runs.

    The value is `w[pick] * op[pick](x)`; the weights of the other operations, zero in a
    one-hot mix, are added so that gradients reach them (GDAS, arXiv 1910.04465). For a pick of
    `Two` the second operation runs as well (ProxylessNAS, arXiv 1812.00332). A branch with
    decisions inside, one of `open_`, takes their rows and picks as well.
    """

    def __init__(self, branches: dict[str, nn.Module], open_: Collection[str] = ()) -> None:
        super().__init__()
        self.labels = tuple(branches)
        self.open = frozenset(open_)
        for label, branch in branches.items():
            self.add_module(label, branch)

    def forward(self, x: Tensor, w_K: Tensor, pick: int, *inside: Any) -> Tensor:
        y = w_K[pick] * self.run(x, pick, inside)
        if isinstance(pick, Two):
            return y + w_K[pick.other] * self.run(x, pick.other, inside)
        return y + (w_K.sum() - w_K[pick])

    def run(self, x: Tensor, pick: int, inside: tuple[Any, ...]) -> Tensor:
        """One operation alone."""
        label = self.labels[pick]
        branch = self.get_submodule(label)
        y: Tensor = branch(x, *inside) if label in self.open else branch(x)
        return y


class Inner(OnePath):
    """A choice that is the whole of an alternative: it finds its row and pick itself."""

    def __init__(self, branches: dict[str, nn.Module], open_: Collection[str], index: int) -> None:
        super().__init__(branches, open_)
        self.index = index

    def forward(self, x: Tensor, rows: Any, picks: Any, *inside: Any) -> Tensor:
        return super().forward(x, rows[self.index], picks[self.index], rows, picks, *inside)


@dataclass(slots=True)
class _Emitter:
    """State of one emission."""

    mode: str
    root: nn.Module
    graph: fx.Graph
    modules: nn.Module | None
    mix: fx.Node | None = None
    pick: fx.Node | None = None
    keep: fx.Node | None = None
    #: Labels by decision: only these options are emitted.
    picks: Mapping[str, tuple[str, ...]] | None = None
    slots: list[Slot] = field(default_factory=list)
    #: Module names in use, and the place each of them stands for.
    places: dict[str, str] = field(default_factory=dict)
    droppable: list[str] = field(default_factory=list)
    #: Where the module of each primitive stands, by the identity of the primitive.
    paths: dict[int, str] = field(default_factory=dict)
    #: The labels of decisions among depths.
    depths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Graphs of rounds; their modules belong to the whole network.
    rounds: list[fx.GraphModule] = field(default_factory=list)
    #: Decision and label of the options of choices, by the place of their modules.
    options: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: In a branch: the place of the branch in the network.
    prefix: str = ""
    #: Modules that hold others, by path.
    scopes: dict[str, nn.Module] = field(default_factory=dict)

    # ---- parts of the network with a graph of their own

    def part(self) -> _Emitter:
        """An emitter of a round: a graph of its own over the modules of this one."""
        return _Emitter(
            self.mode,
            self.root,
            fx.Graph(),
            self.modules,
            slots=self.slots,
            options=self.options,
            places=self.places,
            paths=self.paths,
            depths=self.depths,
            rounds=self.rounds,
            scopes=self.scopes,
        )

    def finish(self, part: _Emitter) -> fx.GraphModule:
        part.graph.eliminate_dead_code(is_impure_node=lambda n: n.op in ("placeholder", "output"))
        made = fx.GraphModule(self.root, part.graph)
        self.rounds.append(made)
        return made

    # ---- nodes

    def call(self, path: str, op: Prim, x: fx.Node) -> fx.Node:
        if op.kind == "narrow":  # a view needs no module
            return self.function(torch.narrow, x, 1, 0, op.out.channels, span=op.span)
        self.paths[id(op)] = path
        self._install(path, lambda: module(op))
        node = self.graph.call_module(path, (x,))
        node.meta["op"], node.meta["at"] = op, self.at(path)
        return _stamp(node, op.span, path)

    def at(self, path: str) -> tuple[str, ...]:
        """The places a module stands in, outside first: the same for every option of a choice."""
        parts = path.split(".")
        for i in range(len(parts), 0, -1):
            found = self.places.get(".".join(parts[:i]))
            if found is not None:
                owner, _, key = found.partition("|")
                return (*self.at(owner), key)
        return (parts[0],)

    def _install(self, path: str, make: Any) -> None:
        owner, name = self.root_of(path), path.rpartition(".")[2]
        if name in owner._modules:
            return
        # Another mode of the same network shares its modules. What the other mode did not build
        # does not reach the output or has no weights, so a fresh one is as good.
        shared = _submodule(self.modules, path) if self.modules is not None else None
        owner.add_module(name, shared if shared is not None else make())

    def function(self, target: Any, *args: Any, span: Span | None = None) -> fx.Node:
        return _stamp(self.graph.call_function(target, args), span, "")

    def total(self, terms: list[fx.Node], span: Span | None) -> fx.Node:
        value = terms[0]
        for term in terms[1:]:
            value = self.function(torch.add, value, term, span=span)
        return value

    def place(self, path: str, key: str, name: str) -> str:
        """The module path of a place; places whose names would be one are numbered."""
        wanted, n = f"{path}.{_safe(name)}" if path else _safe(name), 1
        chosen = wanted
        while self.places.setdefault(chosen, f"{path}|{key}") != f"{path}|{key}":
            n += 1
            chosen = f"{wanted}__{n}"
        return chosen

    # ---- operations

    def op(self, op: Op, x: fx.Node, path: str, mix: _Rows | None) -> fx.Node | None:
        """The node that computes an operation; None where it is exactly zero."""
        match op:
            case Prim(kind="identity"):
                return x
            case Prim(kind="none"):
                return None
            case Prim():
                return self.call(f"{path}.{op.kind}" if path else op.kind, op, x)
            case Seq():
                return self.sequence(op, x, path, mix)
            case Par():
                return self.parallel(op, x, path, mix)
            case Choice() if self.picks is not None:
                return self.picked(op, x, path, self.picks.get(op.decision, ()))
            case Choice():
                if mix is None:
                    raise ValueError(f"decision {op.decision} is not resolved")
                return self.choice(op, x, path, mix)
            case Varied():
                kind = op.options[0].kind
                return self.varied(op, x, f"{path}.{kind}" if path else kind, mix)
            case Forms():
                return self.forms(op, x, path, mix)
            case Nested():
                return self.cell(op.cell, [x], path)

    def sequence(self, op: Seq, x: fx.Node, path: str, mix: _Rows | None) -> fx.Node | None:
        names = _names(op.parts)
        value: fx.Node | None = x
        for part, name in zip(op.parts, names, strict=True):
            if value is None:
                value = self.zeros(op.inp if part is op.parts[0] else part.inp, x)
            if isinstance(part, Prim):
                if part.kind == "identity":
                    continue
                if part.kind == "none":
                    value = None
                    continue
                value = self.call(f"{path}.{name}" if path else name, part, value)
            elif isinstance(part, Varied):
                value = self.varied(part, value, f"{path}.{name}" if path else name, mix)
            else:
                value = self.op(part, value, f"{path}.{name}" if path else name, mix)
        return value

    def varied(self, op: Varied, x: fx.Node, path: str, mix: _Rows | None) -> fx.Node | None:
        """A primitive under the settings of its decisions, see `nasdsl.codegen.entangle`."""
        if mix is None:
            raise ValueError(f"decision {op.decisions[0]} is not resolved")
        how = way(op)
        if how == "none" and self.mode != "one_path":
            return None
        if how == "free":
            if op.options[0].kind == "identity":
                return x
            self.paths[id(op)] = path
            return self.call(path, replace(op.options[0], inp=op.inp, out=op.out), x)
        make = entangle.Nothing if how == "none" else entangle.Entangled
        self.paths[id(op)] = path
        self._install(path, lambda: make(op))
        rows, picks = mix.several(op.decisions)
        arguments = (x, rows) if picks is None else (x, rows, picks)
        return _stamp(self.graph.call_module(path, arguments), op.span, path)

    def forms(self, op: Forms, x: fx.Node, path: str, mix: _Rows | None) -> fx.Node:
        """An operation in several forms: each by the weight of its settings, or the picked one."""
        if mix is None:
            raise ValueError(f"decision {op.decisions[0]} is not resolved")
        rows, picks = mix.several(op.decisions)
        names = [f"form_{i + 1}" for i in range(len(op.options))]
        at = f"{path}.forms" if path else "forms"
        if picks is not None:
            made = {}
            for name, option in zip(names, op.options, strict=True):
                inside = f"{at}.{name}"
                shared = _submodule(self.modules, inside) if self.modules is not None else None
                whole = f"{self.prefix}.{inside}" if self.prefix else inside
                made[name] = self.open_branch(option, shared, mix, whole)
            self.root_of(at).add_module(at.rpartition(".")[2], entangle.Formed(op, made))
            arguments = (x, rows, picks, mix.rows, mix.picks, self.mix, self.pick)
            return _stamp(self.graph.call_module(at, arguments), op.span, at)
        gate = f"{at}.gate"
        self._install(gate, lambda: entangle.Formed(op, {}))
        weights = self.graph.call_module(gate, (rows,))
        terms = []
        for i, (name, option) in enumerate(zip(names, op.options, strict=True)):
            narrow = self.function(entangle.narrowed, x, option.inp.channels)
            value = self.op(option, narrow, f"{at}.{name}", mix)
            if value is not None:
                wide = self.function(entangle.widened, value, op.out.channels)
                weight = self.function(operator.getitem, weights, i)
                terms.append(self.function(torch.mul, weight, wide, span=op.span))
        return self.total(terms, op.span) if terms else self.zeros(op.out, x)

    def root_of(self, path: str) -> nn.Module:
        """The module that holds the module of a path, made where it is missing."""
        above = path.rpartition(".")[0]
        found = self.scopes.get(above)
        if found is None:
            found = self.root
            for scope in above.split(".") if above else ():
                if scope not in found._modules:
                    found.add_module(scope, nn.Module())
                found = found.get_submodule(scope)
            self.scopes[above] = found
        return found

    def concat(
        self,
        parts: list[fx.Node],
        found: list[Widths],
        path: str,
        mix: _Rows | None,
        span: Span | None,
    ) -> fx.Node:
        """Parts joined by their channels; where widths are decided the alive ones come first."""
        joint = widths.joint(found)
        fixed = all(len({c[i] for c in joint.counts}) == 1 for i in range(len(parts) - 1))
        if fixed or self.mode == "one_path" or mix is None:
            return self.function(torch.cat, parts, 1, span=span)
        at = f"{path}.cat" if path else "cat"
        channels = max(sum(c) for c in joint.counts)
        self._install(at, lambda: entangle.Joined(joint.labels, joint.counts, channels))
        rows, _ = mix.several(joint.decisions)
        return _stamp(self.graph.call_module(at, (tuple(parts), rows)), span, at)

    def zeros(self, shape: Any, like: fx.Node) -> fx.Node:
        return self.function(zeros_beside, like, shape.dims)

    def parallel(self, op: Par, x: fx.Node, path: str, mix: _Rows | None) -> fx.Node | None:
        names = _names(op.parts)
        results = [
            self.op(part, x, f"{path}.{name}" if path else name, mix)
            for part, name in zip(op.parts, names, strict=True)
        ]
        if op.how == "concat":
            full = [
                r if r is not None else self.zeros(p.out, x)
                for r, p in zip(results, op.parts, strict=True)
            ]
            return self.concat(full, [widths.of_op(p) for p in op.parts], path, mix, op.span)
        present = [r for r in results if r is not None]
        return self.total(present, op.span) if present else None

    def choice(self, op: Choice, x: fx.Node, path: str, mix: _Rows) -> fx.Node | None:
        row = mix.row(op.decision)
        self.note(op, path)
        if self.mode == "one_path":
            return self.one_path(op, x, path, row, mix)
        if op.explored:
            # No label is such a name, so no option's module has it.
            at = f"{path}._explore"
            self._install(at, lambda: Explorer(op.inp.channels, len(op.labels)))
            asked = _stamp(self.graph.call_module(at, (x,)), op.span, at)
            # Rows of a table are as long as its longest one.
            row = self.function(torch.narrow, row, 0, 0, len(op.labels), span=op.span)
            row = self.function(torch.add, row, asked, span=op.span)
        weights = self.function(torch.unbind, row, 0, span=op.span)
        terms = []
        for k, (label, option) in enumerate(zip(op.labels, op.options, strict=True)):
            if is_none(option):
                continue
            value = self.op(option, x, f"{path}.{_safe(label)}", mix)
            if value is not None:
                weight = self.function(operator.getitem, weights, k)
                terms.append(self.function(torch.mul, weight, value, span=option.span))
        return self.total(terms, op.span) if terms else None

    def note(self, op: Choice, path: str) -> None:
        """Remember where the options of a choice stand."""
        place = f"{self.prefix}.{path}".strip(".")
        for label in op.labels:
            self.options[f"{place}.{_safe(label)}"] = (op.decision, label)

    def picked(self, op: Choice, x: fx.Node, path: str, labels: tuple[str, ...]) -> fx.Node | None:
        """The picked options alone, their modules named as in the whole supernet."""
        terms = []
        for label in labels:
            option = op.options[op.labels.index(label)]
            value = self.op(option, x, f"{path}.{_safe(label)}", None)
            if value is not None:
                terms.append(value)
        return self.total(terms, op.span) if terms else None

    def one_path(self, op: Choice, x: fx.Node, path: str, row: fx.Node, mix: _Rows) -> fx.Node:
        branches, open_ = self.branches(op, path, mix)
        self._install(path, lambda: OnePath(branches, open_))
        if self.modules is not None:
            owner, _, last = path.rpartition(".")
            self.root.get_submodule(owner).add_module(last, OnePath(branches, open_))
            self.scopes.clear()
        pick = self.function(operator.getitem, mix.picks, mix.index(op.decision))
        arguments: list[Any] = [x, row, pick]
        if open_:
            arguments += [mix.rows, mix.picks, self.mix, self.pick]
        return _stamp(self.graph.call_module(path, tuple(arguments)), op.span, path)

    def branches(self, op: Choice, path: str, mix: _Rows) -> tuple[dict[str, nn.Module], list[str]]:
        """A module per alternative, and the names of those with decisions inside."""
        found: dict[str, nn.Module] = {}
        open_: list[str] = []
        for label, option in zip(op.labels, op.options, strict=True):
            name = _safe(label)
            at = f"{path}.{name}" if path else name
            shared = _submodule(self.modules, at) if self.modules is not None else None
            if _inside(option):
                open_.append(name)
                whole = f"{self.prefix}.{at}" if self.prefix else at
                found[name] = self.open_branch(option, shared, mix, whole)
            else:
                found[name] = _branch(option, shared)
        return found, open_

    def open_branch(self, option: Op, shared: nn.Module | None, mix: _Rows, at: str) -> nn.Module:
        """One alternative with decisions inside: `(x, rows, picks, mix of all, picks of all)`."""
        root = nn.Module()
        part = _Emitter(
            self.mode, root, fx.Graph(), shared, slots=self.slots, options=self.options, prefix=at
        )
        if isinstance(option, Choice):
            part.note(option, "")
            branches, open_ = part.branches(option, "", mix)
            return Inner(branches, open_, mix.index(option.decision))
        x = part.graph.placeholder("x")
        rows, picks = part.graph.placeholder("rows"), part.graph.placeholder("picks")
        part.mix, part.pick = part.graph.placeholder("mix"), part.graph.placeholder("pick")
        value = part.op(option, x, "", _Rows(part, mix.decisions, rows, picks))
        part.graph.output(value if value is not None else part.zeros(option.out, x))
        return fx.GraphModule(root, part.graph)

    # ---- cells

    def cell(self, cell: Cell, inputs: list[fx.Node], path: str) -> fx.Node:
        rows = self.rows(path, cell.table, _decisions(cell))
        values: dict[str, fx.Node] = {}
        for entry, x in zip(cell.inputs, inputs, strict=True):
            at = self.place(path, f"in {entry.name}", entry.name)
            prepared = self.op(entry.prepare, x, at, rows)
            values[entry.name] = prepared if prepared is not None else x
        like = inputs[0]
        shapes = {e.name: e.prepare.out for e in cell.inputs}
        for node in cell.nodes:
            edges = cell.into(node.name)
            arrivals = self.arrivals(cell, node.name, values, path, rows)
            value = self.arrive(node, edges, arrivals, like, path, rows)
            at = self.place(path, f"node {node.name}", node.name)
            after = self.op(node.after, value, at, rows)
            shapes[node.name] = node.after.out
            values[node.name] = after if after is not None else self.zeros(node.after.out, like)
        through = {}
        for e, made in zip(
            cell.into("out"), self.arrivals(cell, "out", values, path, rows), strict=True
        ):
            through[e.source] = made if made is not None else self.zeros(e.op.out, like)
        return self.output(cell, cell.output, {**values, **through}, path, rows)

    def arrivals(
        self,
        cell: Cell,
        target: str,
        values: dict[str, fx.Node],
        path: str,
        rows: _Rows | None,
    ) -> list[fx.Node | None]:
        """What comes through each edge into a node, None for zeros.

        Where a decision picks among the edges each is multiplied by its weight (NAS-Bench-1Shot1,
        arXiv 2001.10422). An edge of weight zero contributes nothing, so a row of zeros and ones
        is a discrete choice, and one-path mode needs nothing else.
        """
        edges = cell.into(target)
        made = [self.edge(cell, e, values, path, rows) for e in edges]
        decision, beta = cell.subset(target), cell.beta(target)
        if beta is not None and self.picks is None:
            # Weights of edges that are all used (PC-DARTS, arXiv 1907.05737, section 3.3).
            decision = beta
        if decision is None:
            return made
        if self.picks is not None:
            kept = self.picks.get(decision, ())
            return [m if e.source in kept else None for e, m in zip(edges, made, strict=True)]
        if rows is None:
            raise NotExecutable(f"decision `{decision}`, which is not resolved")
        weights = self.function(torch.unbind, rows.row(decision), 0, span=edges[0].span)
        return [
            None
            if value is None
            else self.function(
                torch.mul, self.function(operator.getitem, weights, k), value, span=e.span
            )
            for k, (e, value) in enumerate(zip(edges, made, strict=True))
        ]

    def arrive(
        self,
        node: CellNode,
        edges: tuple[CellEdge, ...],
        arrivals: list[fx.Node | None],
        like: fx.Node,
        path: str,
        rows: _Rows | None,
    ) -> fx.Node:
        """What arrives at a node, joined."""
        shapes = [e.op.out for e in edges]
        if node.how != "concat":
            return self.join(node.how, arrivals, shapes, like, node.span)
        full = [
            a if a is not None else self.zeros(s, like)
            for a, s in zip(arrivals, shapes, strict=True)
        ]
        found = [widths.of_op(e.op) for e in edges]
        return self.concat(full, found, f"{path}.{_plain(node.name)}", rows, node.span)

    def edge(
        self,
        cell: Cell,
        edge: CellEdge,
        values: dict[str, fx.Node],
        path: str,
        rows: _Rows | None,
    ) -> fx.Node | None:
        name = self.place(path, edge.key, f"{_plain(edge.target)}_{_plain(edge.source)}")
        if self.picks is not None:
            # As in a network of its own: an edge that is not picked goes with all it holds.
            identity = f"{cell.table}/{edge.key}"
            if identity in _choices(edge.op) and not self.picks.get(identity):
                return None
        # Several picks on one edge are operations of their own, also for drop-path.
        picked = isinstance(edge.op, Par) and edge.op.how == "picked"
        parts = edge.op.parts if isinstance(edge.op, Par) and picked else (edge.op,)
        names = [name] if len(parts) == 1 else [f"{name}_{i}" for i in range(len(parts))]
        terms = []
        for part, place in zip(parts, names, strict=True):
            self.places.setdefault(place, self.places[name])
            value = self.op(part, values[edge.source], place, rows)
            if value is None:
                continue
            # Drop-path acts on operations, not on plain connections (DARTS).
            if self.keep is not None and not is_identity(part):
                self.droppable.append(place)
                mask = self.function(operator.getitem, self.keep, place)
                value = self.function(_kept, value, mask, span=edge.span)
            terms.append(value)
        return self.total(terms, edge.span) if terms else None

    def join(
        self,
        how: str,
        arrivals: list[fx.Node | None],
        shapes: list[Any],
        like: fx.Node,
        span: Span | None,
    ) -> fx.Node:
        present = [a for a in arrivals if a is not None]
        if not present or (how == "mul" and len(present) < len(arrivals)):
            return self.zeros(shapes[0], like)
        if how == "mul":
            value = present[0]
            for other in present[1:]:
                value = self.function(torch.mul, value, other, span=span)
            return value
        value = self.total(present, span)
        if how == "mean":
            value = self.function(torch.div, value, len(arrivals), span=span)
        return value

    def output(
        self,
        cell: Cell,
        output: Output,
        values: dict[str, fx.Node],
        path: str,
        rows: _Rows | None,
    ) -> fx.Node:
        match output:
            case Arrival():
                return values[output.node]
            case After():
                inner = self.output(cell, output.inner, values, path, rows)
                made = self.op(output.op, inner, f"{path}.out", rows)
                return made if made is not None else self.zeros(output.op.out, inner)
            case Join():
                parts = [self.output(cell, p, values, path, rows) for p in output.parts]
                if output.how == "split":
                    parts = [
                        self.function(torch.narrow, part, 1, 0, share)
                        for part, share in zip(parts, shares(cell.width, len(parts)), strict=True)
                    ]
                    return self.function(torch.cat, parts, 1)
                if output.how == "concat":
                    found = [widths.of_output(cell, p) for p in output.parts]
                    return self.concat(parts, found, f"{path}.out", rows, None)
                return self.join(output.how, list(parts), [], parts[0], None)

    def rows(self, instance: str, table: str, decisions: tuple[str, ...]) -> _Rows | None:
        if not decisions or self.mix is None:
            return None
        if self.prefix:
            instance = f"{self.prefix}.{instance}" if instance else self.prefix
        self.slots.append(Slot(instance, table, decisions))
        mix = self.function(operator.getitem, self.mix, instance)
        rows = self.function(torch.unbind, mix, 0)
        picks = self.function(operator.getitem, self.pick, instance) if self.pick else None
        return _Rows(self, decisions, rows, picks)


class NotExecutable(ValueError):
    """The space needs something that this version checks but does not run."""


@dataclass(slots=True)
class _Rows:
    """The mix of one instance, row by row."""

    emitter: _Emitter
    decisions: tuple[str, ...]
    rows: fx.Node
    picks: fx.Node | None

    def index(self, decision: str) -> int:
        return self.decisions.index(decision)

    def row(self, decision: str) -> fx.Node:
        return self.emitter.function(operator.getitem, self.rows, self.index(decision))

    def several(
        self, decisions: tuple[str, ...]
    ) -> tuple[tuple[fx.Node, ...], tuple[fx.Node, ...] | None]:
        """The rows of several decisions and, in one-path mode, their picks."""
        rows = tuple(self.row(d) for d in decisions)
        if self.picks is None:
            return rows, None
        get = self.emitter.function
        return rows, tuple(get(operator.getitem, self.picks, self.index(d)) for d in decisions)


def _kept(value: Tensor, mask: Tensor) -> Tensor:
    """A value times a drop-path mask with one entry for each sample, whatever its dimensions.

    Where samples are taken apart into pieces each piece has the entry of its sample.
    """
    if value.shape[0] != mask.shape[0]:
        mask = mask.repeat_interleave(value.shape[0] // mask.shape[0], dim=0)
    return value * mask.reshape(mask.shape[0], *(1,) * (value.dim() - 1))


def _decisions(cell: Cell) -> tuple[str, ...]:
    found = []
    for edge in cell.edges:
        found.extend(_choices(edge.op))
    for node in cell.nodes:
        found.extend(_choices(node.after))
    for entry in cell.inputs:
        found.extend(_choices(entry.prepare))
    found.extend(cell.subsets())
    found.extend(b for b in map(cell.beta, cell.weighted) if b is not None)
    found.extend(_behind(cell.output))
    return tuple(dict.fromkeys(found))


def _behind(output: Output) -> list[str]:
    match output:
        case After():
            return [*_behind(output.inner), *_choices(output.op)]
        case Join():
            return [d for p in output.parts for d in _behind(p)]
        case _:
            return []


def _inside(op: Op) -> bool:
    """Whether decisions stand inside an operation, also in cells."""
    nested = (part.cell for part in walk(op) if isinstance(part, Nested))
    return bool(_choices(op)) or any(_decisions(cell) or _deep(cell) for cell in nested)


def _deep(cell: Cell) -> bool:
    return any(_inside(op) for _, op in operations(cell))


def _choices(op: Op) -> list[str]:
    match op:
        case Varied():
            return list(op.decisions)
        case Forms():
            return [*op.decisions, *(d for o in op.options for d in _choices(o))]
        case Choice():
            return [op.decision, *(d for o in op.options for d in _choices(o))]
        case Seq() | Par():
            return [d for p in op.parts for d in _choices(p)]
        case _:
            return []


def _names(ops: tuple[Op, ...]) -> list[str]:
    """`relu, dwconv, conv, bn, relu_2, …`: by operation, repeats numbered."""
    seen: dict[str, int] = {}
    names = []
    for op in ops:
        kind = op.options[0].kind if isinstance(op, Varied) else None
        base = op.kind if isinstance(op, Prim) else kind or _label(op)
        seen[base] = seen.get(base, 0) + 1
        names.append(base if seen[base] == 1 else f"{base}_{seen[base]}")
    return names


def _label(op: Op) -> str:
    match op:
        case Choice():
            return "choice"
        case Forms():
            return "forms"
        case Nested():
            return _safe(op.cell.name)
        case Par():
            return "branches"
        case _:
            return "branch"


#: Names that a module has already; an operation may be called so, its module may not.
_TAKEN = frozenset(dir(nn.Module())) | frozenset(dir(Deferred))


def _plain(name: str) -> str:
    """`x[2]` as `x2`."""
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name if c not in "[]")


def _safe(name: str) -> str:
    """A name as a module name."""
    kept = _plain(name)
    if not kept or kept[0].isdigit():
        kept = f"_{kept}"
    return f"{kept}_" if kept in _TAKEN else kept


def _stamp(node: fx.Node, span: Span | None, path: str) -> fx.Node:
    """The `.nas` line a node comes from, where fx shows it."""
    if span is not None:
        where = f", in {path}" if path else ""
        node.stack_trace = f'File "{span.source.name}", line {span.line}{where}'
        node.meta["nas"] = f"{span.source.name}:{span.line}"
    return node


def _submodule(modules: nn.Module, path: str) -> nn.Module | None:
    try:
        return modules.get_submodule(path)
    except AttributeError:
        return None


def _branch(op: Op, shared: nn.Module | None) -> nn.Module:
    """One alternative as a module of its own, with the names it has in the whole network."""
    root = nn.Module()
    graph = fx.Graph()
    emitter = _Emitter("dense", root, graph, shared)
    x = graph.placeholder("x")
    value = emitter.op(op, x, "", None)
    graph.output(value if value is not None else emitter.zeros(op.out, x))
    return fx.GraphModule(root, graph)


# ---- networks


def emit(
    network: Network,
    mode: str,
    *,
    modules: nn.Module | None = None,
    drop_path: bool = False,
    aux: bool = False,
    picks: Mapping[str, tuple[str, ...]] | None = None,
    depths: Mapping[str, tuple[str, ...]] | None = None,
) -> Emitted:
    """A network as an fx graph module.

    `mode` is `dense` or `one_path` for supernets, `discrete` for networks without decisions; also
    for a supernet of which `picks` (labels by decision) says what to take.
    With `modules` the graph shares the modules of another emission of the same network.
    `depths` are the labels of the decisions among depths. Raises NotExecutable.
    """
    root = nn.Module()
    graph = fx.Graph()
    emitter = _Emitter(mode, root, graph, modules, picks=picks, depths=depths or {})
    x = graph.placeholder("x")
    if mode != "discrete":
        emitter.mix = graph.placeholder("mix")
    if mode == "one_path":
        emitter.pick = graph.placeholder("pick")
    if drop_path:
        emitter.keep = graph.placeholder("keep")
    values: dict[int, fx.Node] = {-1: x}
    _check_rounds(network)
    rounds.run(emitter, network.stages, range(len(network.stages)), values, _stage)
    result: Any = values[len(network.stages) - 1]
    if aux:
        if network.aux is None:
            raise NotExecutable("an auxiliary head (this network has none)")
        result = (result, _stage(emitter, network.aux, [values[network.aux.inputs[0]]]))
    graph.output(result)
    # What does not reach the output is not built: a trimmed node has no weights.
    graph.eliminate_dead_code(is_impure_node=lambda n: n.op in ("placeholder", "output"))
    graph.lint()
    # Networks are exported and compiled, for which their code has to be there.
    kind = fx.GraphModule if mode == "discrete" else Deferred
    made = kind(root, graph, class_name=_safe(network.name))
    for part in emitter.rounds:
        for node in part.graph.nodes:
            if node.op == "call_module":
                made.add_submodule(str(node.target), root.get_submodule(str(node.target)))
    return Emitted(
        made, tuple(emitter.slots), tuple(emitter.droppable), emitter.paths, emitter.options
    )


def _check_rounds(network: Network) -> None:
    """NotExecutable for cells that look back over rounds that may not be there."""
    for stage in network.stages:
        if len(stage.inputs) < 2:
            continue
        if stage.rounds or any(network.stages[i].rounds for i in stage.inputs if i >= 0):
            raise NotExecutable(
                f"`{stage.name}`, a cell with {len(stage.inputs)} inputs inside or straight behind "
                "a repeat of decided depth: what it looks back to is not decided"
            )


def _stage(emitter: _Emitter, stage: Stage, inputs: list[fx.Node]) -> fx.Node:
    """The node of a stage; all that are made for it know its name."""
    before = next(iter(reversed(emitter.graph.nodes)))
    made = _emitted(emitter, stage, inputs)
    for node in reversed(emitter.graph.nodes):
        if node is before:
            break
        node.meta["stage"] = stage.name
    return made


def _emitted(emitter: _Emitter, stage: Stage, inputs: list[fx.Node]) -> fx.Node:
    if isinstance(stage.body, Cell):
        return emitter.cell(stage.body, inputs, stage.name)
    found = tuple(dict.fromkeys(_choices(stage.body)))
    # A decision outside cells is its own table of one row.
    rows = emitter.rows(stage.name, stage.name, found) if found else None
    value = emitter.op(stage.body, inputs[-1], stage.name, rows)
    return value if value is not None else emitter.zeros(stage.out, inputs[-1])
