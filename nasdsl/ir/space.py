"""A network of stages, the decisions in it, and the space they span."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import comb

from nasdsl.ir.cell import Cell, Keep, Pick
from nasdsl.ir.op import Op
from nasdsl.ir.requirement import Requirement
from nasdsl.ir.shape import Shape
from nasdsl.source import Span

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3})?", re.ASCII)


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

    `kind` is `op`, `value`, `depth`, `subset`, or in a supernet `beta` (weights of edges); `nested[i]` are decisions that exist only
    when option i is taken. `count` is given where options are not listed (numeric domains):
    then a pick is the text of a number from `low` to `high`, and `log` says that their ratios
    matter and not their differences.
    """

    id: str
    table: str
    kind: str
    labels: tuple[str, ...]
    nested: tuple[tuple[Decision, ...], ...] = ()
    count: int | None = None
    low: Fraction | None = None
    high: Fraction | None = None
    log: bool = False
    span: Span | None = field(default=None, compare=False, repr=False)

    def allows(self, label: str) -> bool:
        """Whether a text is an option: a label, or a number of the domain."""
        if self.low is None or self.high is None:
            return label in self.labels
        # Without a bound on its length, `1e999999999` would be built before it is compared.
        if len(label) > 40 or not _NUMBER.fullmatch(label):
            return False
        return self.low <= Fraction(label) <= self.high


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
    requires: tuple[Requirement, ...] = ()
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
        return settings(self.groups())

    def table_size(self, table: str) -> int | None:
        """Exact number of settings of one table under its keep and pick rules."""
        return settings(groups(self.tables()[table], self.rules))

    def groups(self) -> tuple[Group, ...]:
        """The decisions that stand at the top, as they are settled together."""
        return groups(self.decisions, self.rules)

    def below(self, decision: Decision, label: str) -> tuple[Group, ...]:
        """What is to be decided once a label is taken: nothing, except for conditional decisions."""
        return below(decision, label, self.rules)


# ---- which decisions are settled together


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Decisions of a node of which `count` stay, or one decision alone; groups are independent.

    None keeps all. `exclude` are labels that may not be chosen. The only decision of a `subset`
    takes `count` of its labels, or for None any of them, `least` at the least.
    """

    decisions: tuple[Decision, ...]
    count: int | None = None
    exclude: tuple[str, ...] = ()
    rules: tuple[TableRules, ...] = ()

    @property
    def subset(self) -> Decision | None:
        """The decision, where it is one of kind `subset`."""
        only = self.decisions[0]
        return only if only.kind == "subset" else None

    @property
    def least(self) -> int:
        """An output of nothing is none; a node of which nothing is used is."""
        return 1 if self.decisions[0].id.endswith("/out<-*") else 0

    def labels(self, decision: Decision) -> tuple[str, ...]:
        """Labels of a decision that may be chosen."""
        return tuple(label for label in decision.labels if label not in self.exclude)


def groups(decisions: tuple[Decision, ...], rules: tuple[TableRules, ...]) -> tuple[Group, ...]:
    """Decisions as they are settled together: nodes that keep some of their edges as one group.

    Edges without a decision always stay and do not count.
    """
    keeps: dict[str, tuple[str, Keep]] = {}
    picks: dict[str, Pick] = {}
    for table in rules:
        keep_of = {node: keep for keep in table.keeps for node in keep.targets}
        for node, identities in table.rows:
            if node in keep_of:
                keeps.update((i, (f"{table.table}/{node}", keep_of[node])) for i in identities)
        for pick in table.picks:
            picks.update((f"{table.table}/{node}<-*", pick) for node in pick.targets)
    found: dict[str, Group] = {}
    for decision in decisions:
        if decision.kind == "beta":  # weighs edges, decides nothing by itself
            continue
        if decision.kind == "subset":
            some = picks.get(decision.id)
            count = some.count if some is not None else None
            found[decision.id] = Group(decisions=(decision,), count=count, rules=rules)
            continue
        name, keep = keeps.get(decision.id, ("", Keep(targets=(), count=None)))
        if keep.count is None:
            name = decision.id
        before = found[name].decisions if name in found else ()
        found[name] = Group(
            decisions=(*before, decision), count=keep.count, exclude=keep.exclude, rules=rules
        )
    return tuple(found.values())


def below(decision: Decision, label: str, rules: tuple[TableRules, ...]) -> tuple[Group, ...]:
    """The groups that exist only when a decision takes a label."""
    if not decision.nested:
        return ()
    return groups(decision.nested[decision.labels.index(label)], rules)


def settings(found: tuple[Group, ...], unbounded: int | None = None) -> int | None:
    """Number of joint settings of groups; a domain without options counts as `unbounded`."""
    total = 1
    for group in found:
        count = settings_of(group, unbounded)
        if count is None:
            return None
        total *= count
    return total


def settings_of(group: Group, unbounded: int | None = None) -> int | None:
    """Number of settings of one group."""
    subset = group.subset
    if subset is not None:
        n = len(subset.labels)
        return 2**n - group.least if group.count is None else comb(n, group.count)
    counts = []
    for decision in group.decisions:
        count = options(decision, group, unbounded)
        if count is None:
            return None
        counts.append(count)
    stay = len(counts) if group.count is None else min(group.count, len(counts))
    return subsets(counts, stay)[0][stay]


def options(decision: Decision, group: Group, unbounded: int | None = None) -> int | None:
    """Number of settings of one decision that stays, what is conditional on it included."""
    if decision.count is not None:
        return decision.count if decision.count >= 0 else unbounded
    total = 0
    for label in group.labels(decision):
        count = settings(below(decision, label, group.rules), unbounded)
        if count is None:
            return None
        total += count
    return total


def subsets(counts: list[int], stay: int) -> list[list[int]]:
    """Row i, column k: settings of the elements from i on of which k stay, each worth its count.

    These are the elementary symmetric polynomials e_k(counts[i:]).
    """
    rows = [[1] + [0] * stay]
    for count in reversed(counts):
        last = rows[-1]
        rows.append([1] + [last[k] + count * last[k - 1] for k in range(1, stay + 1)])
    return rows[::-1]
