"""How two architectures of a space differ.

The distance is the number of decisions that differ: a label, a number, a depth counts 1. At a node
that keeps some of its edges it is an edit distance: an operation that changes or moves to another
edge counts 1, one that does both counts 2, with the edges matched to each other as cheaply as can
be. A `pick` counts the sources to be exchanged; with `pick any`, those to be added and taken away.
Decisions that exist in only one of the two count nothing, since they follow from one that differs;
so the distance is that of `mutation.mutate` for one step, but no metric between different depths.
Other nodes at a cell's output count 1.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from nasdsl.ir.genotype import Genotype
from nasdsl.ir.mutation import active
from nasdsl.ir.space import Group, Space

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What differs at a decision or a node: picks of one architecture alone, and of the other.

    `place` is the node or the decision; picks are (decision, label). `distance` is 0 where only one of the two has the decision.
    """

    place: str
    a: tuple[tuple[str, str], ...]
    b: tuple[tuple[str, str], ...]
    distance: int


def distance(space: Space, a: Genotype, b: Genotype) -> int:
    """The number of decisions that differ, as stated above."""
    return sum(change.distance for change in changes(space, a, b))


def changes(space: Space, a: Genotype, b: Genotype) -> list[Change]:
    """Everything that differs, in the order of the space; what only one of them has at distance 0."""
    left = {_key(group): group for group in active(space, a.picks)}
    right = {_key(group): group for group in active(space, b.picks)}
    found: list[Change] = []
    for key, group in {**left, **right}.items():
        ours = [pick for pick in a.picks if pick[0] in key] if key in left else []
        theirs = [pick for pick in b.picks if pick[0] in key] if key in right else []
        # A multiset: two equal operations on one edge are two.
        only = Counter(ours) - Counter(theirs), Counter(theirs) - Counter(ours)
        if any(only):
            steps = _steps(group, ours, theirs) if key in left and key in right else 0
            found.append(
                Change(
                    place=_place(group),
                    a=tuple(only[0].elements()),
                    b=tuple(only[1].elements()),
                    distance=steps,
                )
            )
    outputs = dict(a.outputs), dict(b.outputs)
    for table in dict.fromkeys([*outputs[0], *outputs[1]]):
        joined = [tuple((f"{table}/out", n) for n in o.get(table, ())) for o in outputs]
        if joined[0] != joined[1]:
            found.append(Change(place=f"{table}/out", a=joined[0], b=joined[1], distance=1))
    return found


def _key(group: Group) -> tuple[str, ...]:
    return tuple(d.id for d in group.decisions)


def _place(group: Group) -> str:
    """The node of a group of edges; a decision alone speaks for itself."""
    first = group.decisions[0].id
    return first.partition("<-")[0] if len(group.decisions) > 1 or group.subset else first


def _steps(group: Group, ours: Pairs, theirs: Pairs) -> int:
    """Steps from the picks of one to those of the other, at one node or decision."""
    if group.subset is not None:
        gone, come = set(ours) - set(theirs), set(theirs) - set(ours)
        return len(gone) + len(come) if group.count is None else max(len(gone), len(come))
    return _matched(ours, theirs)


def _matched(ours: Pairs, theirs: Pairs) -> int:
    """The cheapest way to turn picks into others: 0 equal, 1 one part, 2 both, 1 for one alone."""
    if len(ours) < len(theirs):
        ours, theirs = theirs, ours
    # best[set of theirs that are used]: cost so far, one of ours after the other.
    best = {0: 0}
    for identity, label in ours:
        reached: dict[int, int] = {}
        for used, cost in best.items():
            options = [(used, cost + 1)]
            for i, (other, its) in enumerate(theirs):
                if not used >> i & 1:
                    options.append((used | 1 << i, cost + (identity != other) + (label != its)))
            for key, total in options:
                reached[key] = min(total, reached.get(key, total))
        best = reached
    return min(cost + len(theirs) - used.bit_count() for used, cost in best.items())
