"""Decisions among values and depths: one network that holds every setting of them.

A network is lowered under several settings and the results are laid over each other: where they
differ a primitive becomes `Varied`. So each setting is by construction what lowering makes of it.
Few settings are enough, a covering array:

1. all decisions as large as they get, and each in turn otherwise: which primitives depend on it;
2. decisions that meet in a primitive get different colours, and every colour runs through its
   labels, all its decisions together: every joint setting of every primitive is among these.

A dependence that the first step misses, as of a number that loses against another under `max`,
shows as a primitive with two values under one setting of its decisions. The decision behind it is
found by halving the difference of the two settings, and the second step begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod

from nasdsl.diagnostics.model import Diagnostics, Label
from nasdsl.ir import rewrite
from nasdsl.ir.cell import Cell
from nasdsl.ir.op import Forms, Op, Prim, Varied
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Decision, Network, Stage
from nasdsl.lowering.scope import Broken, Context
from nasdsl.source import Span

#: Joint settings of one primitive, and settings that are lowered, at most.
MOST = 4096

Settings = Mapping[str, str]
#: Lowers the network under settings. Raises Broken with its diagnostics recorded.
Lower = Callable[[Diagnostics, Settings], tuple[Network, Context]]


class _Again(Exception):
    """Something differs as a whole that was looked into before; the leaves are others now."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """Nodes that differ as a whole, and the decisions of each leaf, in the order of the walk."""

    whole_at: frozenset[int]
    depends: tuple[frozenset[str], ...]


@dataclass(slots=True)
class _Seen(rewrite.Plain):
    """A network laid out: marks and shapes of its nodes, and its primitives."""

    marks: list[tuple[object, ...]] = field(default_factory=list)
    shapes: list[tuple[Shape, ...]] = field(default_factory=list)
    spans: list[Span | None] = field(default_factory=list)
    leaves: list[Op] = field(default_factory=list)
    #: Nodes that are leaves as a whole, because they differ between settings.
    whole_at: frozenset[int] = frozenset()
    ops: dict[int, Op] = field(default_factory=dict)

    def whole(self, op: Op) -> Op | None:
        self.ops[len(self.marks)] = op
        if len(self.marks) not in self.whole_at:
            return None
        self.node(("form",), (op.inp, op.out), op.span)
        self.leaves.append(op)
        return op

    def node(
        self, mark: tuple[object, ...], shapes: tuple[Shape, ...], span: Span | None
    ) -> tuple[Shape, ...]:
        kinds = tuple((s.kind, len(s.dims)) for s in shapes)
        self.marks.append((*mark, kinds))
        self.shapes.append(shapes)
        self.spans.append(span)
        return shapes

    def leaf(self, op: Prim | Varied) -> Op:
        if isinstance(op, Prim):
            self.node(("prim", op.kind), (op.inp, op.out), op.span)
            self.leaves.append(op)
        return op


@dataclass(slots=True)
class _Merged(rewrite.Plain):
    """A network anew: the largest shapes, and a leaf for each of its primitives."""

    shapes: list[tuple[Shape, ...]]
    leaves: list[Op]
    whole_at: frozenset[int] = frozenset()
    at: int = 0
    leaf_at: int = 0

    def whole(self, op: Op) -> Op | None:
        if self.at not in self.whole_at:
            return None
        self.at += 1
        self.leaf_at += 1
        return self.leaves[self.leaf_at - 1]

    def node(
        self, mark: tuple[object, ...], shapes: tuple[Shape, ...], span: Span | None
    ) -> tuple[Shape, ...]:
        self.at += 1
        return self.shapes[self.at - 1]

    def leaf(self, op: Prim | Varied) -> Op:
        self.at += 1
        self.leaf_at += 1
        return self.leaves[self.leaf_at - 1]


def varied(
    diags: Diagnostics,
    base: Network,
    context: Context,
    lower: Lower,
    meeting: Meeting | None = None,
) -> tuple[Network, Meeting | None]:
    """A network that holds every setting of its decisions among values; without any, itself.

    `base` is the network without settings and `context` that of its elaboration. `meeting`, if
    known from a network of the same structure, saves the first step. Raises Broken.
    """
    decisions = {d.id: d for d in _every(context.decisions.values()) if d.count is None}
    depths = [d for d in decisions.values() if d.kind == "depth"]
    values = [d for d in decisions.values() if d.kind == "value" and len(d.labels) > 1]
    if depths:
        _depths(diags, base, depths, lower)
    if not values:
        return base, None
    work = _Work(diags, lower, {d.id: d for d in values}, dict(context.chosen))
    if meeting is not None:
        work.whole_at = meeting.whole_at
    work.keep({}, base)
    while True:
        try:
            return work.merge(base, meeting)
        except _Again:
            meeting = None


def _every(decisions: Iterable[Decision]) -> Iterable[Decision]:
    for decision in decisions:
        yield decision
        for below in decision.nested:
            yield from _every(below)


def _seen(network: Network, whole_at: frozenset[int] = frozenset()) -> _Seen:
    seen = _Seen(whole_at=whole_at)
    rewrite.rebuild(network, seen)
    return seen


@dataclass(slots=True)
class _Work:
    """The networks lowered so far, by their settings; what is not set is at its largest."""

    diags: Diagnostics
    lower: Lower
    decisions: dict[str, Decision]
    largest: dict[str, str]
    known: dict[tuple[tuple[str, str], ...], _Seen] = field(default_factory=dict)
    networks: dict[tuple[tuple[str, str], ...], Network] = field(default_factory=dict)
    whole_at: frozenset[int] = frozenset()

    def full(self, settings: Settings) -> dict[str, str]:
        return {d: settings.get(d, self.largest[d]) for d in self.decisions}

    def keep(self, settings: Settings, network: Network) -> _Seen:
        key = tuple(self.full(settings).items())
        self.networks[key] = network
        seen = self.known[key] = _seen(network, self.whole_at)
        return seen

    def at(self, settings: Settings) -> _Seen:
        """The network under settings, laid out. Raises Broken where it is none."""
        key = tuple(self.full(settings).items())
        if key in self.known:
            return self.known[key]
        trial = Diagnostics()
        try:
            network, _ = self.lower(trial, dict(key))
        except Broken:
            raise self._refused(settings, trial) from None
        seen = self.keep(settings, network)
        self._compare(settings, seen)
        return seen

    def _refused(self, settings: Settings, trial: Diagnostics) -> Broken:
        """The diagnostics of a setting that does not fit, with as few decisions as show it."""
        blamed = {d: s for d, s in settings.items() if s != self.largest[d]}
        for decision in list(blamed):
            fewer = {d: s for d, s in blamed.items() if d != decision}
            again = Diagnostics()
            try:
                self.lower(again, self.full(fewer))
            except Broken:
                blamed, trial = fewer, again
        for found in trial:
            if found.severity == "error":
                self.diags.add(
                    found.code,
                    found.span,
                    f"{found.message}, where {_said(blamed)}",
                    help=found.help,
                    labels=found.labels,
                )
        return Broken()

    def _compare(self, settings: Settings, seen: _Seen) -> None:
        """Where a setting changes more than numbers, an operation differs as a whole.

        E233 where it is no operation: stages, or what a cell is made of.
        """
        base = next(iter(self.known.values()))
        if seen.marks == base.marks:
            return
        both = zip(base.marks, seen.marks, strict=False)
        at = next((i for i, (a, b) in enumerate(both) if a != b), None)
        if at is not None and at in base.ops and at in seen.ops:
            self.whole_at = frozenset({*(i for i in self.whole_at if i < at), at})
            self.known = {k: _seen(n, self.whole_at) for k, n in self.networks.items()}
            raise _Again
        at = min(len(base.marks), len(seen.marks)) - 1 if at is None else at
        stages = base.marks[at][0] == seen.marks[at][0] == "stage"
        span = next((s for s in reversed(base.spans[: at + 1]) if s is not None), None)
        blamed = {d: s for d, s in settings.items() if s != self.largest[d]}
        self.diags.add(
            "E233",
            span or _nowhere(base),
            f"{'the number of stages' if stages else 'the cell'} changes, where {_said(blamed)}",
            help="rounds are decided by `repeat int a..b` or by a `let` of that",
        )
        raise Broken

    # ---- which primitive depends on what

    def merge(self, base: Network, meeting: Meeting | None) -> tuple[Network, Meeting]:
        for decision in () if meeting else self.decisions.values():
            first, last = decision.labels[0], decision.labels[-1]
            self.at({decision.id: first if first != self.largest[decision.id] else last})
        # Two settings with everything mixed up show most of what the first step misses.
        for step in (1, 2) if meeting is None else ():
            several = enumerate(self.decisions.values(), 1)
            self.at({d.id: d.labels[(i * i + step) % len(d.labels)] for i, d in several})
        leaves = next(iter(self.known.values())).leaves
        depends: list[set[str]] = [set() for _ in leaves]
        if meeting is not None and len(meeting.depends) == len(leaves):
            depends = [set(m) for m in meeting.depends]
        while True:
            self._settle(depends)
            before = len(self.known)
            colours = self._colours(depends)
            self._cover(colours, depends)
            if len(self.known) == before or not self._settle(depends):
                break
        found = Meeting(self.whole_at, tuple(frozenset(d) for d in depends))
        return self._lay(base, depends), found

    def _settle(self, depends: list[set[str]]) -> bool:
        """Add decisions until equal settings mean equal primitives; whether any was added."""
        added = False
        for i, here in enumerate(depends):
            while (clash := self._clash(i, here)) is not None:
                here.add(self._cause(i, *clash))
                added = True
        return added

    def _clash(self, i: int, here: set[str]) -> tuple[dict[str, str], dict[str, str]] | None:
        found: dict[tuple[str, ...], tuple[dict[str, str], Op]] = {}
        for key, seen in self.known.items():
            settings = dict(key)
            short = tuple(settings[d] for d in self.decisions if d in here)
            first = found.setdefault(short, (settings, seen.leaves[i]))
            if first[1] is not seen.leaves[i] and first[1] != seen.leaves[i]:
                return first[0], settings
        return None

    def _cause(self, i: int, a: dict[str, str], b: dict[str, str]) -> str:
        """A decision between two settings that changes primitive i, by halving."""
        apart = [d for d in self.decisions if a[d] != b[d]]
        low = self.at(a).leaves[i]
        while len(apart) > 1:
            half = apart[: len(apart) // 2]
            middle = {**a, **{d: b[d] for d in half}}
            if self.at(middle).leaves[i] != low:
                apart = half
            else:
                a, apart = middle, apart[len(apart) // 2 :]
        return apart[0]

    # ---- every joint setting

    def _colours(self, depends: list[set[str]]) -> dict[str, int]:
        """A colour per decision; those that meet in a primitive differ. Greedy, busiest first."""
        meets: dict[str, set[str]] = {d: set() for d in self.decisions}
        for here in depends:
            for d in here:
                meets[d] |= here - {d}
        colours: dict[str, int] = {}
        for d in sorted(self.decisions, key=lambda d: (-len(meets[d]), d)):
            taken = {colours[o] for o in meets[d] if o in colours}
            colours[d] = next(c for c in range(len(taken) + 1) if c not in taken)
        return colours

    def _cover(self, colours: dict[str, int], depends: list[set[str]]) -> None:
        longest: dict[int, int] = {}
        for d, c in colours.items():
            longest[c] = max(longest.get(c, 0), len(self.decisions[d].labels))
        base = next(iter(self.known.values()))
        joint = [prod(len(self.decisions[d].labels) for d in here) for here in depends]
        if max(joint) > MOST or prod(longest.values()) > MOST:
            at = joint.index(max(joint))
            several = ", ".join(f"`{d}`" for d in self.decisions if d in depends[at])
            self.diags.add(
                "E234",
                base.leaves[at].span or _nowhere(base),
                f"`{_kind(base.leaves[at])}` has {max(joint)} settings: it depends on {several}",
                help=f"at most {MOST} settings share weights; use fewer options, or the same "
                "decision in several places",
            )
            raise Broken
        for numbers in product(*(range(longest[c]) for c in sorted(longest))):
            self.at(
                {
                    d: x.labels[min(numbers[colours[d]], len(x.labels) - 1)]
                    for d, x in self.decisions.items()
                }
            )

    def _lay(self, base: Network, depends: list[set[str]]) -> Network:
        """All networks over each other."""
        every = list(self.known.values())
        shapes = _over(every)
        tables: list[dict[tuple[str, ...], Op]] = [{} for _ in depends]
        order = [tuple(d for d in self.decisions if d in here) for here in depends]
        for key, seen in self.known.items():
            settings = dict(key)
            for ids, table, leaf in zip(order, tables, seen.leaves, strict=True):
                table.setdefault(tuple(settings[d] for d in ids), leaf)
        leaves: list[Op] = []
        for ids, table, leaf in zip(order, tables, every[0].leaves, strict=True):
            labels = tuple(self.decisions[d].labels for d in ids)
            leaves.append(_leaf(ids, labels, table) if ids else leaf)
        return rewrite.rebuild(base, _Merged(shapes, leaves, self.whole_at))


Table = Mapping[tuple[str, ...], Op]


def _leaf(ids: tuple[str, ...], labels: tuple[tuple[str, ...], ...], table: Table) -> Op:
    """One operation for all settings of its decisions."""
    settings = list(product(*labels))
    prims = [p for p in (table[s] for s in settings) if isinstance(p, Prim)]
    if len(prims) == len(settings) and len({p.kind for p in prims}) == 1:
        return Varied(
            decisions=ids,
            labels=labels,
            options=tuple(prims),
            inp=_largest(p.inp for p in prims),
            out=_largest(p.out for p in prims),
            span=prims[0].span,
        )
    return _forms(ids, labels, table, settings)


def _forms(
    ids: tuple[str, ...],
    labels: tuple[tuple[str, ...], ...],
    table: Table,
    settings: list[tuple[str, ...]],
) -> Op:
    """An operation that is another one under some settings: each form by itself."""
    laid = {}
    for setting in settings:
        seen = _Seen()
        rewrite.op(table[setting], seen)
        laid[setting] = seen
    groups: dict[tuple[object, ...], list[tuple[str, ...]]] = {}
    for setting, seen in laid.items():
        groups.setdefault(tuple(seen.marks), []).append(setting)
    options = []
    for own in groups.values():
        # A setting of another form is as the setting of this one that is most like it.
        alike = {s: s if s in own else max(own, key=lambda o: _agreeing(o, s)) for s in settings}
        leaves: list[Op] = []
        for i, leaf in enumerate(laid[own[0]].leaves):
            inner = {s: laid[alike[s]].leaves[i] for s in settings}
            same = all(inner[s] == leaf for s in settings)
            leaves.append(leaf if same else _leaf(ids, labels, inner))
        merged = _Merged(_over([laid[s] for s in own]), leaves)
        options.append(rewrite.op(table[own[0]], merged))
    numbers = {s: i for i, own in enumerate(groups.values()) for s in own}
    if len(options) == 1:
        return options[0]
    return Forms(
        decisions=ids,
        labels=labels,
        form=tuple(numbers[s] for s in settings),
        options=tuple(options),
        inp=_largest(table[s].inp for s in settings),
        out=_largest(table[s].out for s in settings),
        span=table[settings[-1]].span,
    )


def _agreeing(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    return sum(x == y for x, y in zip(a, b, strict=True))


def _over(every: list[_Seen]) -> list[tuple[Shape, ...]]:
    """The largest shapes of every node."""
    return [
        tuple(_largest(same) for same in zip(*(s.shapes[i] for s in every), strict=True))
        for i in range(len(every[0].shapes))
    ]


def _largest(shapes: Iterable[Shape]) -> Shape:
    """The largest extent in every dimension."""
    found = list(shapes)
    return Shape(found[0].kind, tuple(max(n) for n in zip(*(s.dims for s in found), strict=True)))


def _said(settings: Settings) -> str:
    said = [f"`{d}` is {label}" for d, label in list(settings.items())[:3]]
    return " and ".join(said) + (" and others differ" if len(settings) > 3 else "")


def _kind(op: Op) -> str:
    return op.kind if isinstance(op, Prim) else "this"


def _nowhere(seen: _Seen) -> Span:
    return next(s for s in seen.spans if s is not None)


# ---- depth


def alive(stage: Stage, depth: Mapping[str, str]) -> bool:
    """Whether a stage stands, where the repeats around it have these depths."""
    return all(r <= int(depth[d]) for d, _, r in stage.rounds if d in depth)


def _depths(diags: Diagnostics, base: Network, depths: list[Decision], lower: Lower) -> None:
    """E235 where more than the number of rounds depends on a depth."""
    for i in range(max(len(d.labels) for d in depths)):
        settings = {d.id: d.labels[min(i, len(d.labels) - 1)] for d in depths}
        trial = Diagnostics()
        try:
            network, _ = lower(trial, settings)
        except Broken:
            for found in trial:
                if found.severity == "error":
                    diags.add(
                        found.code,
                        found.span,
                        f"{found.message}, where {_said(settings)}",
                        help=found.help,
                        labels=found.labels,
                    )
            raise
        standing = [s for s in base.stages if alive(s, settings)]
        for deep, shallow in zip(standing, network.stages, strict=False):
            if _stage(deep) != _stage(shallow):
                raise _uneven(diags, base, depths, settings, deep, shallow)


def _uneven(
    diags: Diagnostics,
    base: Network,
    depths: list[Decision],
    settings: Settings,
    deep: Stage,
    shallow: Stage,
) -> Broken:
    """E235 at the decision among depths that a stage depends on."""
    before = base.stages[: base.stages.index(deep) + 1]
    around = [d for s in before for d, _, _ in s.rounds if d in settings]
    depth = next((d for d in depths if around and d.id == around[-1]), depths[0])
    name = deep.name.rpartition("_")[0] or deep.name
    here, there = _takes(deep), _takes(shallow)
    behind = f"`{name}` takes {there} after {settings[depth.id]} rounds, else {here}"
    diags.add(
        "E235",
        depth.span or deep.span or _nowhere(_seen(base)),
        behind
        if here != there
        else f"`{name}` differs, where {_said({depth.id: settings[depth.id]})}",
        help="rounds of decided depth end with the shape they begin with; change the width or the "
        "stride before or behind them",
        labels=() if deep.span is None else (Label(deep.span, "this depends on the depth"),),
    )
    return Broken()


def _takes(stage: Stage) -> Shape:
    return stage.body.inputs[-1].inp if isinstance(stage.body, Cell) else stage.body.inp


def _stage(stage: Stage) -> tuple[object, ...]:
    seen = _Seen()
    rewrite.stage(stage, seen)
    return seen.marks, seen.shapes, seen.leaves
