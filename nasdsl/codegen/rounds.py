"""Repeats of decided depth: the outputs of their rounds weighted, or only the picked ones run.

With weights w of the depths and y_d the output of round d, y_0 what arrives, a repeat yields
sum_d w_d y_d. In one-path mode it yields w_d y_d of the picked depth d, and no later round runs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from nasdsl.ir.space import Stage

if TYPE_CHECKING:
    from nasdsl.codegen.emit import _Emitter

#: Emits one stage on its inputs.
EmitStage = Callable[["_Emitter", Stage, list[fx.Node]], fx.Node]


class Rounds(nn.Module):
    """A repeat of which as many rounds run as are picked: `(x, row, pick, mix, picks)`.

    The rounds are graphs over modules of the whole network and hold nothing of their own.
    """

    rounds: tuple[fx.GraphModule, ...]

    def __init__(self, labels: Sequence[str], rounds: Sequence[fx.GraphModule]) -> None:
        super().__init__()
        self.depths = tuple(int(label) for label in labels)
        object.__setattr__(self, "rounds", tuple(rounds))

    def forward(
        self,
        x: Tensor,
        row: Tensor,
        pick: int,
        mix: Mapping[str, Tensor],
        picks: Mapping[str, Sequence[int]],
    ) -> Tensor:
        for one in self.rounds[: self.depths[pick]]:
            x = one(x, mix, picks)
        return row[pick] * x


@dataclass(frozen=True, slots=True)
class Repeat:
    """The stages of one repeat of decided depth, by round."""

    decision: str
    path: str
    rounds: tuple[tuple[int, ...], ...]

    @property
    def last(self) -> int:
        return max(i for inside in self.rounds for i in inside)


def split(stages: Sequence[Stage], indices: Sequence[int], level: int) -> list[int | Repeat]:
    """Stages and repeats in order; `level` repeats stand around them."""
    found: list[int | Repeat] = []
    at = 0
    while at < len(indices):
        rounds = stages[indices[at]].rounds
        if len(rounds) <= level:
            found.append(indices[at])
            at += 1
            continue
        decision, path, _ = rounds[level]
        inside: dict[int, list[int]] = {}
        while at < len(indices):
            here = stages[indices[at]].rounds
            if len(here) <= level or here[level][:2] != (decision, path):
                break
            inside.setdefault(here[level][2], []).append(indices[at])
            at += 1
        rows = tuple(tuple(inside.get(r, ())) for r in range(1, max(inside) + 1))
        found.append(Repeat(decision, path, rows))
    return found


def run(
    emitter: _Emitter,
    stages: Sequence[Stage],
    indices: Sequence[int],
    values: dict[int, fx.Node],
    emit_stage: EmitStage,
    level: int = 0,
) -> None:
    """Emit stages; afterwards `values` has what each yields, of a repeat its last stage."""
    for item in split(stages, indices, level):
        if isinstance(item, int):
            stage = stages[item]
            values[item] = emit_stage(emitter, stage, [values[i] for i in stage.inputs])
            continue
        first = min(i for inside in item.rounds for i in inside)
        before = stages[first].inputs[-1]
        rows = emitter.rows(item.path, item.path, (item.decision,))
        if rows is None:
            raise ValueError(f"decision {item.decision} is not resolved")
        make = _picked if emitter.mode == "one_path" else _weighted
        values[item.last] = make(emitter, stages, item, values, before, rows, emit_stage, level)


def _weighted(
    emitter: _Emitter,
    stages: Sequence[Stage],
    item: Repeat,
    values: dict[int, fx.Node],
    before: int,
    rows: Any,
    emit_stage: EmitStage,
    level: int,
) -> fx.Node:
    reached = [values[before]]
    for inside in item.rounds:
        run(emitter, stages, inside, values, emit_stage, level + 1)
        reached.append(values[inside[-1]] if inside else reached[-1])
    row = rows.row(item.decision)
    weights = emitter.function(torch.unbind, row, 0)
    terms = []
    for k, label in enumerate(emitter.depths[item.decision]):
        weight = emitter.function(operator.getitem, weights, k)
        terms.append(emitter.function(torch.mul, weight, reached[int(label)]))
    return emitter.total(terms, stages[item.last].span)


def _picked(
    emitter: _Emitter,
    stages: Sequence[Stage],
    item: Repeat,
    values: dict[int, fx.Node],
    before: int,
    rows: Any,
    emit_stage: EmitStage,
    level: int,
) -> fx.Node:
    graphs = []
    for inside in item.rounds:
        part = emitter.part()
        x = part.graph.placeholder("x")
        part.mix = part.graph.placeholder("mix")
        part.pick = part.graph.placeholder("pick")
        entry = stages[inside[0]].inputs[-1] if inside else before
        own = {entry: x}
        run(part, stages, inside, own, emit_stage, level + 1)
        part.graph.output(own[inside[-1]] if inside else x)
        graphs.append(emitter.finish(part))
    path = emitter.place("", item.path, f"repeat_{item.path}")
    labels = emitter.depths[item.decision]
    emitter.root.add_module(path, Rounds(labels, graphs))
    pick = emitter.function(operator.getitem, rows.picks, 0)
    row = rows.row(item.decision)
    arguments = (values[before], row, pick, emitter.mix, emitter.pick)
    return emitter.graph.call_module(path, arguments)
