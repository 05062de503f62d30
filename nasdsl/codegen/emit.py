"""Network to torch.fx: every primitive a module call, every choice a weighted sum or one path.

The graph is a pure function. A supernet is `f(x, mix)`, in one-path mode `f(x, mix, pick)`; a
discrete network is `f(x)`, for training with drop-path `f(x, keep)`. `mix`, `pick` and `keep`
are mappings; a key per cell instance addresses the mix of exactly that instance.

Modules are named by place and operation (`normal_0.x1_prev.sep_conv_3x3.dwconv`), the same in
every mode, so that a state dict fits all of them. Every node carries the line of its `.nas` text.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from nasdsl.ir.cell import After, Arrival, Cell, CellEdge, Join, Output, shares
from nasdsl.ir.op import Choice, Nested, Op, Par, Prim, Seq, Varied, is_identity, is_none, walk
from nasdsl.ir.space import Network, Stage
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


class OnePath(nn.Module):
    """A choice of which only the picked operation runs.

    The value is `w[pick] * op[pick](x)`; the weights of the other operations, zero in a
    one-hot mix, are added so that gradients reach them (GDAS, arXiv 1910.04465).
    """

    def __init__(self, branches: dict[str, nn.Module]) -> None:
        super().__init__()
        self.labels = tuple(branches)
        for label, branch in branches.items():
            self.add_module(label, branch)

    def forward(self, x: Tensor, w_K: Tensor, pick: int) -> Tensor:
        y = self.get_submodule(self.labels[pick])(x)
        others = w_K.sum() - w_K[pick]
        return w_K[pick] * y + others


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
    slots: list[Slot] = field(default_factory=list)
    #: Module names in use, and the place each of them stands for.
    places: dict[str, str] = field(default_factory=dict)
    droppable: list[str] = field(default_factory=list)

    # ---- nodes

    def call(self, path: str, op: Prim, x: fx.Node) -> fx.Node:
        if op.kind == "narrow":  # a view needs no module
            return self.function(torch.narrow, x, 1, 0, op.out.channels, span=op.span)
        self._install(path, lambda: module(op))
        node = self.graph.call_module(path, (x,))
        return _stamp(node, op.span, path)

    def _install(self, path: str, make: Any) -> None:
        owner = self.root
        *scopes, name = path.split(".")
        for scope in scopes:
            if scope not in owner._modules:
                owner.add_module(scope, nn.Module())
            owner = owner.get_submodule(scope)
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
        wanted, n = f"{path}.{_safe(name)}", 1
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
            case Choice():
                if mix is None:
                    raise ValueError(f"decision {op.decision} is not resolved")
                return self.choice(op, x, path, mix)
            case Varied():
                raise NotExecutable(f"decisions among values (`{op.decisions[0]}`)")
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
            else:
                value = self.op(part, value, f"{path}.{name}" if path else name, mix)
        return value

    def zeros(self, shape: Any, like: fx.Node) -> fx.Node:
        return self.function(_zeros, like, shape.dims)

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
            return self.function(torch.cat, full, 1, span=op.span)
        present = [r for r in results if r is not None]
        return self.total(present, op.span) if present else None

    def choice(self, op: Choice, x: fx.Node, path: str, mix: _Rows) -> fx.Node | None:
        row = mix.row(op.decision)
        if self.mode == "one_path":
            return self.one_path(op, x, path, row, mix)
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

    def one_path(self, op: Choice, x: fx.Node, path: str, row: fx.Node, mix: _Rows) -> fx.Node:
        branches = {}
        for label, option in zip(op.labels, op.options, strict=True):
            name = _safe(label)
            shared = None
            if self.modules is not None:
                shared = _submodule(self.modules, f"{path}.{name}")
            branches[name] = _branch(option, shared)
        self._install(path, lambda: OnePath(branches))
        if self.modules is not None:
            owner, _, last = path.rpartition(".")
            self.root.get_submodule(owner).add_module(last, OnePath(branches))
        pick = self.function(operator.getitem, mix.picks, mix.index(op.decision))
        return _stamp(self.graph.call_module(path, (x, row, pick)), op.span, path)

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
            value = self.join(node.how, arrivals, [e.op.out for e in edges], like, node.span)
            at = self.place(path, f"node {node.name}", node.name)
            after = self.op(node.after, value, at, rows)
            shapes[node.name] = node.after.out
            values[node.name] = after if after is not None else self.zeros(node.after.out, like)
        through = {}
        for e, made in zip(
            cell.into("out"), self.arrivals(cell, "out", values, path, rows), strict=True
        ):
            through[e.source] = made if made is not None else self.zeros(e.op.out, like)
        return self.output(cell.output, {**values, **through}, path, rows, cell.width)

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
        decision = cell.subset(target)
        if decision is None:
            return made
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

    def edge(
        self,
        cell: Cell,
        edge: CellEdge,
        values: dict[str, fx.Node],
        path: str,
        rows: _Rows | None,
    ) -> fx.Node | None:
        name = self.place(path, edge.key, f"{_plain(edge.target)}_{_plain(edge.source)}")
        # Several picks on one edge are operations of their own, also for drop-path.
        picked = isinstance(edge.op, Par) and edge.op.how == "picked"
        parts = edge.op.parts if isinstance(edge.op, Par) and picked else (edge.op,)
        names = [name] if len(parts) == 1 else [f"{name}_{i}" for i in range(len(parts))]
        terms = []
        for part, place in zip(parts, names, strict=True):
            value = self.op(part, values[edge.source], place, rows)
            if value is None:
                continue
            # Drop-path acts on operations, not on plain connections (DARTS).
            if self.keep is not None and not is_identity(part):
                self.droppable.append(place)
                mask = self.function(operator.getitem, self.keep, place)
                value = self.function(torch.mul, value, mask, span=edge.span)
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
        if how == "concat":
            full = [
                a if a is not None else self.zeros(s, like)
                for a, s in zip(arrivals, shapes, strict=True)
            ]
            return self.function(torch.cat, full, 1, span=span)
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
        output: Output,
        values: dict[str, fx.Node],
        path: str,
        rows: _Rows | None,
        width: int,
    ) -> fx.Node:
        match output:
            case Arrival():
                return values[output.node]
            case After():
                inner = self.output(output.inner, values, path, rows, width)
                made = self.op(output.op, inner, f"{path}.out", rows)
                return made if made is not None else self.zeros(output.op.out, inner)
            case Join():
                parts = [self.output(p, values, path, rows, width) for p in output.parts]
                if output.how == "split":
                    parts = [
                        self.function(torch.narrow, part, 1, 0, share)
                        for part, share in zip(parts, shares(width, len(parts)), strict=True)
                    ]
                if output.how in ("concat", "split"):
                    return self.function(torch.cat, parts, 1)
                return self.join(output.how, list(parts), [], parts[0], None)

    def rows(self, instance: str, table: str, decisions: tuple[str, ...]) -> _Rows | None:
        if not decisions or self.mix is None:
            return None
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


def _zeros(like: Tensor, dims: tuple[int, ...]) -> Tensor:
    return like.new_zeros((like.shape[0], *dims))


def _decisions(cell: Cell) -> tuple[str, ...]:
    found = []
    for edge in cell.edges:
        found.extend(_choices(edge.op))
    for node in cell.nodes:
        found.extend(_choices(node.after))
    for entry in cell.inputs:
        found.extend(_choices(entry.prepare))
    found.extend(cell.subsets())
    return tuple(dict.fromkeys(found))


def _choices(op: Op) -> list[str]:
    match op:
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
        base = op.kind if isinstance(op, Prim) else _label(op)
        seen[base] = seen.get(base, 0) + 1
        names.append(base if seen[base] == 1 else f"{base}_{seen[base]}")
    return names


def _label(op: Op) -> str:
    match op:
        case Choice():
            return "choice"
        case Nested():
            return _safe(op.cell.name)
        case Par():
            return "branches"
        case _:
            return "branch"


#: Names that a module has already; an operation may be called so, its module may not.
_TAKEN = frozenset(dir(nn.Module())) | frozenset(dir(fx.GraphModule))


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
    if _choices(op) or any(isinstance(part, Nested) and _decisions(part.cell) for part in walk(op)):
        raise NotExecutable("decisions inside the alternatives of a one-hot sampler")
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
) -> Emitted:
    """A network as an fx graph module.

    `mode` is `dense` or `one_path` for supernets, `discrete` for networks without decisions.
    With `modules` the graph shares the modules of another emission of the same network.
    Raises NotExecutable.
    """
    root = nn.Module()
    graph = fx.Graph()
    emitter = _Emitter(mode, root, graph, modules)
    x = graph.placeholder("x")
    if mode != "discrete":
        emitter.mix = graph.placeholder("mix")
    if mode == "one_path":
        emitter.pick = graph.placeholder("pick")
    if drop_path:
        emitter.keep = graph.placeholder("keep")
    values: dict[int, fx.Node] = {-1: x}
    for i, stage in enumerate(network.stages):
        values[i] = _stage(emitter, stage, [values[j] for j in stage.inputs])
    result: Any = values[len(network.stages) - 1]
    if aux:
        if network.aux is None:
            raise NotExecutable("an auxiliary head (this network has none)")
        result = (result, _stage(emitter, network.aux, [values[network.aux.inputs[0]]]))
    graph.output(result)
    # What does not reach the output is not built: a trimmed node has no weights.
    graph.eliminate_dead_code(is_impure_node=lambda n: n.op in ("placeholder", "output"))
    graph.lint()
    made = fx.GraphModule(root, graph, class_name=_safe(network.name))
    return Emitted(made, tuple(emitter.slots), tuple(emitter.droppable))


def _stage(emitter: _Emitter, stage: Stage, inputs: list[fx.Node]) -> fx.Node:
    if isinstance(stage.body, Cell):
        return emitter.cell(stage.body, inputs, stage.name)
    found = tuple(dict.fromkeys(_choices(stage.body)))
    # A decision outside cells is its own table of one row.
    rows = emitter.rows(stage.name, stage.name, found) if found else None
    value = emitter.op(stage.body, inputs[-1], stage.name, rows)
    return value if value is not None else emitter.zeros(stage.out, inputs[-1])
