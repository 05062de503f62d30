"""The order of a region: phases between which all images wait, and where maps stand meanwhile.

Within a phase an image goes through all instructions by itself; a new phase begins where the
statistics of a batch-norm, or sums of its backward pass, need every image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nasdsl.fusion.generated.region import Gather, Head, Instruction, Pool, Region, Stage, Sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Phases of indices into `code`; in the backward pass `-1 - k` computes map anew."""

    #: The instructions of the region, then those that read states back.
    code: tuple[Instruction, ...]
    forward: tuple[tuple[int, ...], ...]
    backward: tuple[tuple[int, ...], ...]


def heads_of(step: Instruction) -> tuple[int, ...]:
    """The heads an instruction reads."""
    match step:
        case Stage() | Pool():
            return (step.source,)
        case Sum():
            return step.terms
        case Gather():
            return ()


def sources(region: Region, step: Instruction) -> Iterator[tuple[int, bool]]:
    """The maps an instruction reads, and whether it waits for their statistics."""
    for index in heads_of(step):
        head = region.heads[index]
        yield head.map, head.norm is not None
    if isinstance(step, Gather):
        for run in step.runs:
            if run.map is not None:
                yield run.map, False


@dataclass(frozen=True, slots=True)
class _Wires:
    """Who makes and who reads each map; an instruction belongs to the first sum that needs it."""

    region: Region
    makers: dict[int, list[int]]
    #: Readers and whether they wait for the statistics of all images.
    readers: dict[int, list[tuple[int, bool]]]
    #: What each sum needs that none before it does, itself last; then what no sum needs.
    groups: tuple[tuple[int, ...], ...]


def _wires(region: Region) -> _Wires:
    makers: dict[int, list[int]] = {}
    readers: dict[int, list[tuple[int, bool]]] = {}
    for k, step in enumerate(region.code):
        makers.setdefault(step.out, []).append(k)
        for source, waits in sources(region, step):
            readers.setdefault(source, []).append((k, waits))
    grouped: set[int] = set()
    groups = []

    def take(k: int) -> list[int]:
        if k in grouped:
            return []
        grouped.add(k)
        before = [take(m) for s, _ in sources(region, region.code[k]) for m in makers.get(s, ())]
        return [*(m for one in before for m in one), k]

    for k, step in enumerate(region.code):
        if isinstance(step, Sum):
            groups.append(tuple(sorted(take(k))))
    groups.append(tuple(k for k in range(len(region.code)) if k not in grouped))
    return _Wires(region, makers, readers, tuple(groups))


def schedule(region: Region) -> Schedule:
    """Sum by sum: what is made is read soon, while it is still at hand.

    The stages of one sum begin in the phase in which the sum before is taken.
    """
    wires = _wires(region)
    return Schedule(
        code=(*region.code, *region.reloads),
        forward=_forward(wires),
        backward=_backward(wires),
    )


def _forward(wires: _Wires) -> tuple[tuple[int, ...], ...]:
    region = wires.region
    level: dict[int, int] = {}
    depth: dict[int, int] = {}
    begin = 0
    for group in wires.groups:
        for k in group:
            step = region.code[k]
            before = [
                (m, waits) for s, waits in sources(region, step) for m in wires.makers.get(s, ())
            ]
            # Sums that add to a map go in order.
            before += [(m, False) for m in wires.makers[step.out] if m < k]
            level[k] = max([begin, *(level[m] + waits for m, waits in before)])
            depth[k] = max((depth[m] + 1 for m, _ in before if level[m] == level[k]), default=0)
        begin = max(begin, *(level[k] for k in group)) if group else begin
    return _phases(region, region.code, level, depth)


def _phases(
    region: Region,
    code: tuple[Instruction, ...],
    level: dict[int, int],
    depth: dict[int, int],
) -> tuple[tuple[int, ...], ...]:
    phases: list[list[int]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for k in level:
        phases[level[k]].append(k)
    return tuple(
        tuple(sorted(phase, key=lambda k: (depth[k], *_reading(region, code[k]), k)))
        for phase in phases
    )


def _reading(region: Region, step: Instruction) -> tuple[int, int, str]:
    """What an instruction reads, so that those that share a tile follow each other."""
    if isinstance(step, Stage | Pool):
        head = region.heads[step.source]
        return head.map, int(isinstance(step, Pool) and step.largest), head.act
    return -1, 0, ""


def _backward(wires: _Wires) -> tuple[tuple[int, ...], ...]:
    region = wires.region
    level: dict[int, int] = {}
    begin = 0
    for group in (wires.groups[-1], *reversed(wires.groups[:-1])):
        for k in reversed(group):
            found = wires.readers.get(region.code[k].out, [])
            level[k] = max([begin, *(level[r] + waits for r, waits in found)])
        begin = max(begin, *(level[k] for k in group)) if group else begin
    _later(region, level)
    depth: dict[int, int] = {}
    for k in reversed(range(len(region.code))):
        found = wires.readers.get(region.code[k].out, [])
        depth[k] = max((depth[r] + 1 for r, _ in found if level[r] == level[k]), default=0)
    phases = _phases(region, region.code, level, depth)
    made = {step.out: k for k, step in enumerate(region.code)}
    # What is not kept is computed anew in front of its first reader.
    again = dict(made)
    for k, step in enumerate(region.reloads):
        again[step.out] = len(region.code) + k
    code = (*region.code, *region.reloads)
    present: set[int] = set()
    result = []
    for phase in phases:
        order: list[int] = []

        def ensure(index: int, order: list[int] = order) -> None:
            if index in present or region.maps[index].place != "passing":
                return
            step = code[again[index]]
            for source, _ in sources(region, step):
                ensure(source)
            present.add(index)
            order.append(-1 - again[index])

        for k in phase:
            for index in needed(region, region.code[k]):
                ensure(index)
            order.append(k)
        result.append(tuple(order))
    return tuple(result)


def _later(region: Region, level: dict[int, int]) -> None:
    """Puts a depthwise stage off by a phase where another on the same map is due then.

    Both add to one gradient, which is then read and written once. Nothing waits longer for it.
    """
    due: dict[tuple[int, str], set[int]] = {}
    made = {s.out for s in region.code if isinstance(s, Stage | Pool)}
    candidates = []
    for k, step in enumerate(region.code):
        if isinstance(step, Stage) and step.depthwise is not None:
            head = region.heads[step.source]
            if head.map not in made:
                candidates.append((k, (head.map, head.act)))
                due.setdefault((head.map, head.act), set()).add(level[k])
    for k, key in candidates:
        if level[k] + 1 in due[key]:
            level[k] += 1


def needed(region: Region, step: Instruction) -> Iterator[int]:
    """The maps whose values the backward pass of an instruction reads."""
    if isinstance(step, Gather):
        return
    for source, _ in sources(region, step):
        yield source
    if isinstance(step, Stage | Pool):
        yield step.out


def grads(region: Region) -> dict[int, int]:
    """Heads read by stages that need a gradient of their own: those of what stages made."""
    states = {s.out for s in region.code if isinstance(s, Sum | Gather)}
    found: dict[int, int] = {}
    for step in region.code:
        if isinstance(step, Stage | Pool):
            head: Head = region.heads[step.source]
            if region.maps[head.map].place != "input" and head.map not in states:
                found[step.source] = head.map
    return found
