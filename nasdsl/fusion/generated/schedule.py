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


def schedule(region: Region) -> Schedule:
    """As few phases as there can be; every map is made shortly before it is read."""
    made = {step.out: k for k, step in enumerate(region.code)}
    level: dict[int, int] = {}
    depth: dict[int, int] = {}
    for k, step in enumerate(region.code):
        level[k] = depth[k] = 0
        for source, waits in sources(region, step):
            if source in made:
                level[k] = max(level[k], level[made[source]] + waits)
    _late(region, level)
    for k, step in enumerate(region.code):
        depth[k] = 0
        for source, _ in sources(region, step):
            if source in made and level[made[source]] == level[k]:
                depth[k] = max(depth[k], depth[made[source]] + 1)
    forward = _phases(region, region.code, level, depth)
    return Schedule(
        code=(*region.code, *region.reloads), forward=forward, backward=_backward(region, made)
    )


def _late(region: Region, level: dict[int, int]) -> None:
    """Puts every instruction off until its map is needed: what is made is then still at hand."""
    readers: dict[int, list[tuple[int, bool]]] = {}
    for k, step in enumerate(region.code):
        for source, waits in sources(region, step):
            readers.setdefault(source, []).append((k, waits))
    last = max(level.values(), default=0)
    for k in reversed(range(len(region.code))):
        found = readers.get(region.code[k].out, [])
        level[k] = min((level[r] - waits for r, waits in found), default=last)


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


def _backward(region: Region, made: dict[int, int]) -> tuple[tuple[int, ...], ...]:
    readers: dict[int, list[tuple[int, bool]]] = {}
    for k, step in enumerate(region.code):
        for source, waits in sources(region, step):
            readers.setdefault(source, []).append((k, waits))
    level: dict[int, int] = {}
    depth: dict[int, int] = {}
    for k in reversed(range(len(region.code))):
        found = readers.get(region.code[k].out, [])
        level[k] = max((level[r] + waits for r, waits in found), default=0)
        depth[k] = max((depth[r] + 1 for r, _ in found if level[r] == level[k]), default=0)
    _later(region, level)
    for k in reversed(range(len(region.code))):
        found = readers.get(region.code[k].out, [])
        depth[k] = max((depth[r] + 1 for r, _ in found if level[r] == level[k]), default=0)
    phases = _phases(region, region.code, level, depth)
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
