"""A network of stages, the decisions in it, and the space they span."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

from nasdsl.ir.cell import Cell, Keep, Pick
from nasdsl.ir.op import Op
from nasdsl.ir.shape import Shape
from nasdsl.source import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a network: a stem, a cell or operation of the body, a head.

    `inputs` are indices of earlier stages; -1 is the network's input. `rounds` says in which
    repeats of decided depth the stage stands: decision, path of the repeat, round from 1.
    """

    name: str
    role: str
    body: Op | Cell
    inputs: tuple[int, ...]
    out: Shape
    rounds: tuple[tuple[str, str, int], ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Stages in order, the head last; `aux` branches off the stage `inputs[0]` names."""

    name: str
    inp: Shape
    stages: tuple[Stage, ...]
    aux: Stage | None = None

    @property
    def out(self) -> Shape:
        return self.stages[-1].out

    def cells(self) -> Iterator[tuple[int, Stage, Cell]]:
        for i, stage in enumerate(self.stages):
            if isinstance(stage.body, Cell):
                yield i, stage, stage.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision: its identity, the table that owns it, its options.

    `kind` is `op`, `value`, `depth` or `subset`; `nested[i]` are decisions that exist only
    when option i is taken. `count` is given where options are not listed (numeric domains).
    """

    id: str
    table: str
    kind: str
    labels: tuple[str, ...]
    nested: tuple[tuple[Decision, ...], ...] = ()
    count: int | None = None
    span: Span | None = field(default=None, compare=False, repr=False)

    def options(self, exclude: tuple[str, ...] = ()) -> int | None:
        """Number of sub-architectures below this decision; None if it is unbounded."""
        if self.count is not None:
            return self.count if self.count >= 0 else None
        total = 0
        for i, label in enumerate(self.labels):
            if label in exclude:
                continue
            below = product(self.nested[i]) if self.nested else 1
            if below is None:
                return None
            total += below
        return total


def product(decisions: tuple[Decision, ...]) -> int | None:
    """Number of joint settings of independent decisions; None if unbounded."""
    total = 1
    for decision in decisions:
        below = decision.options()
        if below is None:
            return None
        total *= below
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRules:
    """What a cell says about its decisions: rows per node, and keep and pick rules."""

    table: str
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    keeps: tuple[Keep, ...]
    picks: tuple[Pick, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A search space: the supernet, the network that is retrained, decisions and rules.

    `target` holds the same choices as the supernet; a genotype resolves them.
    """

    name: str
    parameters: tuple[tuple[str, str], ...]
    supernet: Network
    target: Network
    decisions: tuple[Decision, ...]
    rules: tuple[TableRules, ...]
    format: str
    requires: tuple[str, ...] = ()
    classes: int | None = None

    def decision(self, identity: str) -> Decision:
        """The decision of an identity. Raises KeyError."""
        for decision in self.decisions:
            if decision.id == identity:
                return decision
        raise KeyError(identity)

    def tables(self) -> dict[str, tuple[Decision, ...]]:
        """Decisions by the table that owns them, in order."""
        found: dict[str, list[Decision]] = {}
        for decision in self.decisions:
            found.setdefault(decision.table, []).append(decision)
        return {name: tuple(rows) for name, rows in found.items()}

    def size(self) -> int | None:
        """Exact number of discrete architectures, `require` left out; None if unbounded."""
        total = 1
        for table in self.tables():
            count = self.table_size(table)
            if count is None:
                return None
            total *= count
        return total

    def table_size(self, table: str) -> int | None:
        """Exact number of settings of one table under its keep and pick rules."""
        rows = {d.id: d for d in self.tables()[table]}
        rules = next((r for r in self.rules if r.table == table), None)
        total = 1
        if rules is not None:
            for node, identities in rules.rows:
                here = [rows.pop(i) for i in identities if i in rows]
                count = _node_count(here, identities, node, rules)
                if count is None:
                    return None
                total *= count
        rest = product(tuple(rows.values()))
        return None if rest is None else total * rest


def _node_count(
    here: list[Decision], edges: tuple[str, ...], node: str, rules: TableRules
) -> int | None:
    """Settings of one node: which edges stay times what stands on them."""
    pick = next((p for p in rules.picks if node in p.targets), None)
    if pick is not None:
        subsets = 2 ** len(edges) if pick.count is None else comb(len(edges), pick.count)
        below = product(tuple(here))
        return None if below is None else subsets * below
    keep = next((k for k in rules.keeps if node in k.targets), None)
    exclude = keep.exclude if keep else ()
    by_id = {d.id: d for d in here}
    # Edges without a decision always stay and do not count.
    counts = [by_id[e].options(exclude) for e in edges if e in by_id]
    if any(c is None for c in counts):
        return None
    numbers = [c for c in counts if c is not None]
    if keep is None or keep.count is None or keep.count >= len(numbers):
        chosen = [tuple(numbers)]
    else:
        chosen = list(combinations(numbers, keep.count))
    total = 0
    for subset in chosen:
        below = 1
        for c in subset:
            below *= c
        total += below
    return total
