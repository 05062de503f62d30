"""A space with its parts laid out, as checks look at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nasdsl.ir.cell import After, Cell, Join, Output
from nasdsl.ir.op import Nested, Op, parts
from nasdsl.ir.space import Decision, Network, Space, Stage


@dataclass(frozen=True, slots=True)
class View:
    """A space with its parts laid out: each cell once, each operation with its place."""

    space: Space
    networks: tuple[Network, ...]
    #: Place, network, position (an auxiliary head stands behind all), stage.
    stages: tuple[tuple[str, Network, int, Stage], ...]
    cells: tuple[tuple[str, Cell], ...]
    ops: tuple[tuple[str, Op], ...]
    #: Cells that still hold their decisions: those of the supernet.
    open: tuple[tuple[str, Cell], ...]
    decisions: dict[str, Decision]


def view_of(space: Space) -> View:
    """A space laid out for its checks, without recursion."""
    stages: list[tuple[str, Network, int, Stage]] = []
    cells: list[tuple[str, Cell]] = []
    ops: list[tuple[str, Op]] = []
    seen: set[int] = set()
    opened = 0
    for network in (space.supernet, space.target):
        role = "supernet" if network is space.supernet else "target"
        standing = network.stages if network.aux is None else (*network.stages, network.aux)
        for i, stage in enumerate(standing):
            place = f"{role} {stage.name}"
            stages.append((place, network, i, stage))
            todo: list[tuple[str, Op | Cell]] = [(place, stage.body)]
            while todo:
                where, item = todo.pop()
                if isinstance(item, Cell):
                    if id(item) not in seen:
                        seen.add(id(item))
                        cells.append((where, item))
                        todo.extend((f"{where} {key}", op) for key, op in _operations(item))
                    continue
                ops.append((where, item))
                todo.extend((where, part) for part in parts(item))
                if isinstance(item, Nested):
                    todo.append((f"{where} ({item.cell.name})", item.cell))
        opened = opened or len(cells)
    return View(
        space=space,
        networks=(space.supernet, space.target),
        stages=tuple(stages),
        cells=tuple(cells),
        ops=tuple(ops),
        open=tuple(cells[:opened]),
        decisions={d.id: d for d in every(space.decisions)},
    )


def every(decisions: tuple[Decision, ...]) -> Iterator[Decision]:
    """Decisions with all that are conditional on them, in order."""
    stack = list(reversed(decisions))
    while stack:
        decision = stack.pop()
        yield decision
        for below in reversed(decision.nested):
            stack.extend(reversed(below))


def _operations(cell: Cell) -> list[tuple[str, Op]]:
    """Operations of a cell with their places; like `ir.cell.operations`, without recursion."""
    found: list[tuple[str, Op]] = [(e.name, e.prepare) for e in cell.inputs]
    found += [(e.key, e.op) for e in cell.edges]
    found += [(n.name, n.after) for n in cell.nodes]
    found += [("out", item.op) for item in outputs_within(cell.output) if isinstance(item, After)]
    return found


def outputs_within(output: Output) -> list[Output]:
    """An output and everything inside it, innermost last."""
    found: list[Output] = []
    stack = [output]
    while stack:
        item = stack.pop()
        found.append(item)
        if isinstance(item, Join):
            stack.extend(item.parts)
        elif isinstance(item, After):
            stack.append(item.inner)
    return found


def listed(names: tuple[str, ...]) -> str:
    """Names in words."""
    return ", ".join(names) or "none"
