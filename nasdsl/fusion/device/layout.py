"""Where the channels of normalisations and terms stand in the vectors of a call.

All normalised channels stand one behind the other, those that are settled together next to each
other. So do the *slots*: terms of sums in the order of the sums, then heads of stages that are
normalised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nasdsl.fusion.generated.region import Gather, Head, Pool, Region, Stage, Sum
from nasdsl.fusion.generated.schedule import Schedule, heads_of, needed, schedule, sources
from nasdsl.fusion.generated.words import extents

#: Depthwise convolutions that share a launch.
BUNDLE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Maps of one phase and size, whose moments are settled in one launch."""

    #: Where the channels of each map begin among the `width` of them.
    columns: Mapping[int, int]
    width: int
    positions: int
    norms: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A region and its schedule for images of one size."""

    region: Region
    plan: Schedule
    extents: tuple[tuple[int, int], ...]
    #: The phases of each direction, depthwise convolutions of one state together.
    forward: tuple[tuple[tuple[int, ...], ...], ...]
    backward: tuple[tuple[tuple[int, ...], ...], ...]
    #: Groups by phase of the forward pass.
    groups: tuple[tuple[Group, ...], ...]
    #: Normalisations in the order of their channels, where each begins, and how many there are.
    norms: tuple[int, ...]
    norm_at: tuple[int, ...]
    normed: int
    #: Heads in the order of slots, where their channels begin, and how many there are.
    slots: tuple[int, ...]
    slot_number: Mapping[int, int]
    slot_at: Mapping[int, int]
    slotted: int
    #: Slots that are terms of sums: the first ones.
    terms: int
    #: Maps that stages and pools make; a gradient of those belongs to a head.
    layers: frozenset[int]
    #: The heads that something reads a map by, and the state that the sum of a head makes.
    heads_on: Mapping[int, tuple[int, ...]]
    summed: Mapping[int, int]
    #: States that are written where they leave: output and first channel.
    homes: Mapping[int, tuple[int, int]]
    #: What nothing reads after a step, by index into the code.
    unread_forward: Mapping[int, tuple[int, ...]]
    unread_backward: Mapping[int, tuple[int, ...]]
    #: Gradients of states that nothing reads after a step of the backward pass.
    settled: Mapping[int, tuple[int, ...]]

    def positions(self, index: int) -> int:
        """Positions of a map per image."""
        height, width = self.extents[index]
        return height * width

    def channels(self, head: int) -> int:
        return self.region.maps[self.region.heads[head].map].channels

    def channels_of(self, norm: int) -> tuple[int, int]:
        """Where the channels of a normalisation begin and end."""
        first = self.norm_at[norm]
        return first, first + self.region.maps[self.region.norms[norm].map].channels


def layout(region: Region, inputs: Sequence[tuple[int, int]]) -> Layout:
    """For inputs of these heights and widths. Raises ValueError where they do not fit."""
    plan, size = schedule(region), tuple(extents(region, inputs))
    layers = frozenset(s.out for s in region.code if isinstance(s, Stage | Pool))
    summed = {t: s.out for s in region.code if isinstance(s, Sum) for t in s.terms}
    on: dict[int, tuple[int, ...]] = {}
    for h in (h for s in region.code for h in heads_of(s)):
        index = region.heads[h].map
        on[index] = (*on.get(index, ()), h)

    def bundled(phases: Sequence[Sequence[int]]) -> tuple[tuple[tuple[int, ...], ...], ...]:
        return tuple(tuple(_bundles(region, plan, size, layers, phase)) for phase in phases)

    groups = tuple(_groups(region, plan, size, phase) for phase in plan.forward)
    norms = tuple(k for phase in groups for group in phase for k in group.norms)
    norm_at, normed = _begin([region.maps[region.norms[k].map].channels for k in norms])
    at = dict(zip(norms, norm_at, strict=True))
    terms = [t for s in region.code if isinstance(s, Sum) for t in s.terms]
    heads = [
        s.source
        for s in region.code
        if isinstance(s, Stage | Pool) and region.heads[s.source].norm is not None
    ]
    slots = (*terms, *heads)
    slot_at, slotted = _begin([region.maps[region.heads[h].map].channels for h in slots])
    homes = {}
    for reload in region.reloads:
        (run,) = reload.runs
        assert run.map is not None
        homes[reload.out] = (run.map, run.start)
    return Layout(
        region=region,
        plan=plan,
        extents=size,
        forward=bundled(plan.forward),
        backward=bundled(plan.backward),
        groups=groups,
        norms=norms,
        norm_at=tuple(at[k] for k in range(len(region.norms))),
        normed=normed,
        slots=slots,
        slot_number={h: k for k, h in enumerate(slots)},
        slot_at=dict(zip(slots, slot_at, strict=True)),
        slotted=slotted,
        terms=len(terms),
        layers=layers,
        heads_on=on,
        summed=summed,
        homes=homes,
        unread_forward=_last(plan.forward, lambda k: _values(region, plan, k, made=True)),
        unread_backward=_last(plan.backward, lambda k: _values(region, plan, k, made=False)),
        settled=_last(plan.backward, lambda k: _gradients(plan, on, summed, k)),
    )


def _bundles(
    region: Region,
    plan: Schedule,
    size: Sequence[tuple[int, int]],
    layers: frozenset[int],
    phase: Sequence[int],
) -> Iterator[tuple[int, ...]]:
    """The steps of a phase; neighbours that read one state by the same stride are one."""

    def key(k: int) -> object:
        step = plan.code[k] if k >= 0 else None
        if not isinstance(step, Stage) or step.depthwise is None:
            return None
        head = region.heads[step.source]
        if head.norm is not None or head.map in layers:
            return None
        return head, step.depthwise.stride, size[step.out]

    found: list[int] = []
    for k in phase:
        together = found and len(found) < BUNDLE and key(k) is not None
        if found and not (together and key(k) == key(found[-1])):
            yield tuple(found)
            found = []
        found.append(k)
    if found:
        yield tuple(found)


def _begin(counts: Sequence[int]) -> tuple[list[int], int]:
    at, total = [], 0
    for n in counts:
        at.append(total)
        total += n
    return at, total


def _groups(
    region: Region, plan: Schedule, size: tuple[tuple[int, int], ...], phase: Sequence[int]
) -> tuple[Group, ...]:
    made = [plan.code[k].out for k in phase]
    normed = {n.map for n in region.norms}
    by: dict[int, list[int]] = {}
    for index in dict.fromkeys(made):
        if index in normed:
            by.setdefault(size[index][0] * size[index][1], []).append(index)
    groups = []
    for positions, maps in by.items():
        at, width = _begin([region.maps[m].channels for m in maps])
        norms = tuple(k for m in maps for k, n in enumerate(region.norms) if n.map == m)
        columns = dict(zip(maps, at, strict=True))
        groups.append(Group(columns=columns, width=width, positions=positions, norms=norms))
    return tuple(groups)


def _values(region: Region, plan: Schedule, k: int, *, made: bool) -> list[int]:
    """The maps whose values a step reads or makes and that are not kept."""
    step = plan.code[k if k >= 0 else -1 - k]
    if k < 0 or made:
        found = [step.out, *(source for source, _ in sources(region, step))]
    else:
        found = list(needed(region, step))
    return [m for m in found if region.maps[m].place == "passing"]


def _gradients(
    plan: Schedule, on: Mapping[int, Sequence[int]], summed: Mapping[int, int], k: int
) -> list[int]:
    """The states whose gradients a step of the backward pass reads."""
    if k < 0:
        return []
    step = plan.code[k]
    if isinstance(step, Sum | Gather):
        return [step.out]
    return [summed[h] for h in on.get(step.out, ()) if h in summed]


def _last(
    phases: Sequence[Sequence[int]], uses: Callable[[int], list[int]]
) -> dict[int, tuple[int, ...]]:
    """By step, what it is the last to use."""
    last: dict[int, int] = {}
    for phase in phases:
        for k in phase:
            for index in uses(k):
                last[index] = k
    found: dict[int, list[int]] = {}
    for index, k in last.items():
        found.setdefault(k, []).append(index)
    return {k: tuple(v) for k, v in found.items()}


def simple(head: Head) -> bool:
    """Whether a head is its map as it is."""
    return head.norm is None and head.act == "none"
