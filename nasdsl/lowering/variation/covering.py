"""Few settings that show every joint setting of every primitive.

Few settings are enough, a covering array:

1. all decisions as large as they get, and each in turn otherwise: which primitives depend on it;
2. decisions that meet in a primitive get different colours, and every colour runs through its
   labels, all its decisions together: every joint setting of every primitive is among these.

A dependence that the first step misses, as of a number that loses against another under `max`,
shows as a primitive with two values under one setting of its decisions. The decision behind it is
found by halving the difference of the two settings, and the second step begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from math import prod

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.ir import rewrite
from nasdsl.ir.op import Op, Prim
from nasdsl.ir.space import Decision, Network
from nasdsl.lowering.scope import Broken
from nasdsl.lowering.variation.forms import laid_over
from nasdsl.lowering.variation.layout import (
    Merged,
    Seen,
    laid_out,
    largest_shapes,
    nowhere,
)
from nasdsl.lowering.variation.settings import Lower, Settings, said

#: Joint settings of one primitive, and settings that are lowered, at most.
MOST = 4096


class Again(Exception):
    """Something differs as a whole that was looked into before; the leaves are others now."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """Nodes that differ as a whole, and the decisions of each leaf, in the order of the walk."""

    whole_at: frozenset[int]
    depends: tuple[frozenset[str], ...]


@dataclass(slots=True)
class Covering:
    """The networks lowered so far, by their settings; what is not set is at its largest."""

    diags: Diagnostics
    lower: Lower
    decisions: dict[str, Decision]
    largest: dict[str, str]
    known: dict[tuple[tuple[str, str], ...], Seen] = field(default_factory=dict)
    networks: dict[tuple[tuple[str, str], ...], Network] = field(default_factory=dict)
    whole_at: frozenset[int] = frozenset()

    def full(self, settings: Settings) -> dict[str, str]:
        return {d: settings.get(d, self.largest[d]) for d in self.decisions}

    def keep(self, settings: Settings, network: Network) -> Seen:
        key = tuple(self.full(settings).items())
        self.networks[key] = network
        seen = self.known[key] = laid_out(network, self.whole_at)
        return seen

    def at(self, settings: Settings) -> Seen:
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
                    f"{found.message}, where {said(blamed)}",
                    help=found.help,
                    labels=found.labels,
                )
        return Broken()

    def _compare(self, settings: Settings, seen: Seen) -> None:
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
            self.known = {k: laid_out(n, self.whole_at) for k, n in self.networks.items()}
            raise Again
        at = min(len(base.marks), len(seen.marks)) - 1 if at is None else at
        stages = base.marks[at][0] == seen.marks[at][0] == "stage"
        span = next((s for s in reversed(base.spans[: at + 1]) if s is not None), None)
        blamed = {d: s for d, s in settings.items() if s != self.largest[d]}
        self.diags.add(
            "E233",
            span or nowhere(base),
            f"{'the number of stages' if stages else 'the cell'} changes, where {said(blamed)}",
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
                base.leaves[at].span or nowhere(base),
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
        shapes = largest_shapes(every)
        tables: list[dict[tuple[str, ...], Op]] = [{} for _ in depends]
        order = [tuple(d for d in self.decisions if d in here) for here in depends]
        for key, seen in self.known.items():
            settings = dict(key)
            for ids, table, leaf in zip(order, tables, seen.leaves, strict=True):
                table.setdefault(tuple(settings[d] for d in ids), leaf)
        leaves: list[Op] = []
        for ids, table, leaf in zip(order, tables, every[0].leaves, strict=True):
            labels = tuple(self.decisions[d].labels for d in ids)
            leaves.append(laid_over(ids, labels, table) if ids else leaf)
        return rewrite.rebuild(base, Merged(shapes, leaves, self.whole_at))


def _kind(op: Op) -> str:
    return op.kind if isinstance(op, Prim) else "this"
