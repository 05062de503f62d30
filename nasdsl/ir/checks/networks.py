"""Networks: stages that read earlier ones, rounds in order, names."""

from __future__ import annotations

from collections.abc import Iterator

from nasdsl.ir.cell import Cell
from nasdsl.ir.checks.view import View
from nasdsl.ir.shape import Shape


def stages(view: View) -> Iterator[str]:
    """A stage reads earlier stages; its shapes are theirs and its own output."""
    for place, network, index, stage in view.stages:
        shapes: list[Shape] = []
        for i in stage.inputs:
            if not -1 <= i < index:
                yield f"{place}: it reads stage {i}, which does not come before it"
            else:
                shapes.append(network.inp if i < 0 else network.stages[i].out)
        if not stage.inputs:
            yield f"{place}: it reads nothing"
        if len(shapes) < len(stage.inputs) or not shapes:
            continue
        if isinstance(stage.body, Cell):
            wanted = [e.inp for e in stage.body.inputs]
            if wanted != shapes:
                yield f"{place}: the cell takes {_shapes(wanted)}, {_shapes(shapes)} arrive"
        elif stage.body.inp != shapes[-1]:
            yield f"{place}: it takes {stage.body.inp}, {shapes[-1]} arrives"
        if stage.body.out != stage.out:
            yield f"{place}: it yields {stage.body.out}, the stage says {stage.out}"


def rounds(view: View) -> Iterator[str]:
    """Rounds belong to decisions among depths, which reach them, and stand in order."""
    for network in view.networks:
        last: dict[str, int] = {}
        for stage in network.stages:
            for name, path, number in stage.rounds:
                decision = view.decisions.get(name)
                depths = [int(n) for n in decision.labels if n.isdigit()] if decision else []
                if decision is None or decision.kind != "depth" or not depths:
                    yield f"{stage.name}: `{name}` decides no depth"
                elif not 1 <= number <= max(depths):
                    yield f"{stage.name}: round {number} of `{name}`, at most {max(depths)}"
                if number < last.get(path, 1):
                    yield f"{stage.name}: round {number} of {path} stands behind a later one"
                last[path] = number


def stage_names(view: View) -> Iterator[str]:
    """Stages of a network have different names; the head is last."""
    for network in view.networks:
        role = "supernet" if network is view.space.supernet else "target"
        names = [s.name for s in network.stages]
        if not names:
            yield f"{role}: no stages"
        for name in dict.fromkeys(n for n in names if names.count(n) > 1):
            yield f"{role}: two stages are called `{name}`"
        for stage in network.stages[:-1]:
            if stage.role == "head":
                yield f"{role}: `{stage.name}` is a head, but not last"


def _shapes(shapes: list[Shape]) -> str:
    return " and ".join(str(s) for s in shapes)
