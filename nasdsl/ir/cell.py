"""A cell: nodes, edges with operations, and how its output is put together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nasdsl.ir.op import Op
from nasdsl.ir.shape import Shape
from nasdsl.source import Span

if TYPE_CHECKING:
    import networkx as nx

AGGREGATORS = ("sum", "concat", "mean", "mul")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellInput:
    """An input node: what arrives, and the operation that prepares it."""

    name: str
    inp: Shape
    prepare: Op
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellNode:
    """An inner node: `how` joins its arrivals, `after` (identity as a rule) follows."""

    name: str
    how: str
    after: Op
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEdge:
    """An edge; `target` may be `out`."""

    source: str
    target: str
    op: Op
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        return f"{self.target}<-{self.source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """The discrete cell keeps `count` edges of each target; None keeps all.

    `exclude` are labels that may not be chosen.
    """

    targets: tuple[str, ...]
    count: int | None
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """Which `count` incoming edges each target uses is decided; None: any subset."""

    targets: tuple[str, ...]
    count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """In an output: what arrives from a node, through its edge to `out` where one exists."""

    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """In an output: parts joined by an aggregator, or by `split`.

    `split` is a concatenation of the leading channels of each part, as many as `shares` says.
    """

    how: str
    parts: tuple[Output, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """In an output: an operation behind another part."""

    inner: Output
    op: Op


Output = Arrival | Join | After


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell at one place: every shape is known, decisions stand as choices on the edges.

    `table` names the alpha table its decisions belong to (shared by all instances).
    """

    name: str
    table: str
    stride: int
    width: int
    inputs: tuple[CellInput, ...]
    nodes: tuple[CellNode, ...]
    edges: tuple[CellEdge, ...]
    output: Output
    out: Shape
    keeps: tuple[Keep, ...] = ()
    picks: tuple[Pick, ...] = ()
    #: Nodes whose edges have a weight of their own in the supernet (edge normalisation).
    weighted: tuple[str, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)

    def graph(self) -> nx.DiGraph[str]:
        """The frozen networkx graph: nodes in order with `role`, edges with `op`."""
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph(name=self.name)
        for entry in self.inputs:
            graph.add_node(entry.name, role="input", value=entry)
        for node in self.nodes:
            graph.add_node(node.name, role="node", value=node)
        graph.add_node("out", role="output", value=self.output)
        for edge in self.edges:
            graph.add_edge(edge.source, edge.target, op=edge.op)
        explicit = {e.source for e in self.edges if e.target == "out"}
        for arrival in arrivals(self.output):
            if arrival not in explicit:
                graph.add_edge(arrival, "out", op=None)
        frozen: nx.DiGraph[str] = nx.freeze(graph)
        return frozen

    def into(self, target: str) -> tuple[CellEdge, ...]:
        """Edges into a node, inputs first, then nodes in order."""
        return tuple(e for e in self.edges if e.target == target)

    def keep_of(self, target: str) -> Keep:
        """The rule for a node; without one every edge stays."""
        for keep in self.keeps:
            if target in keep.targets:
                return keep
        return Keep(targets=(target,), count=None)

    def subset(self, target: str) -> str | None:
        """The decision which of the edges into a node are used; None where all are."""
        if any(target in pick.targets for pick in self.picks):
            return subset_identity(self.table, target)
        return None

    def beta(self, target: str) -> str | None:
        """The row of weights of the edges into a node; None where they have none."""
        return beta_identity(self.table, target) if target in self.weighted else None

    def subsets(self) -> tuple[str, ...]:
        """Identities of these decisions, in the order of the nodes, the output last."""
        targets = [*(node.name for node in self.nodes), "out"]
        return tuple(s for s in map(self.subset, targets) if s is not None)

    def live(self) -> frozenset[str]:
        """Nodes from which the output can be reached."""
        found = set(arrivals(self.output))
        found.update(e.source for e in self.edges if e.target == "out")
        for node in reversed(self.nodes):
            if node.name in found:
                found.update(e.source for e in self.edges if e.target == node.name)
        return frozenset(found)


def subset_identity(table: str, target: str) -> str:
    """The identity of the decision which edges arrive at a node."""
    return f"{table}/{target}<-*"


def beta_identity(table: str, target: str) -> str:
    """The identity of the weights of the edges into a node."""
    return f"{table}/{target}<-+"


def shares(width: int, parts: int) -> tuple[int, ...]:
    """Channels of each part of an output that splits `width`; the first ones take the remainder.

    NAS-Bench-101 (arXiv 1902.09635), `compute_vertex_channels`. A split of n channels among more
    than n parts has parts of zero channels, which no network can have.
    """
    if parts == 0:
        return ()
    share, rest = divmod(width, parts)
    return tuple(share + (i < rest) for i in range(parts))


def arrivals(output: Output) -> Iterator[str]:
    """Names of the nodes an output reads, in order."""
    match output:
        case Arrival():
            yield output.node
        case Join():
            for part in output.parts:
                yield from arrivals(part)
        case After():
            yield from arrivals(output.inner)


def operations(cell: Cell) -> Iterator[tuple[str, Op]]:
    """Every operation of a cell with the place it stands at."""
    for entry in cell.inputs:
        yield entry.name, entry.prepare
    for edge in cell.edges:
        yield edge.key, edge.op
    for node in cell.nodes:
        yield node.name, node.after
    yield from _after(cell.output)


def _after(output: Output) -> Iterator[tuple[str, Any]]:
    match output:
        case Join():
            for part in output.parts:
                yield from _after(part)
        case After():
            yield from _after(output.inner)
            yield "out", output.op
