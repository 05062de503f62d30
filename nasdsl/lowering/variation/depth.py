"""Decisions among depths: nothing but the number of rounds may depend on one."""

from __future__ import annotations

from collections.abc import Mapping

from nasdsl.diagnostics.model import Diagnostics, Label
from nasdsl.ir import rewrite
from nasdsl.ir.cell import Cell
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Decision, Network, Stage
from nasdsl.lowering.scope import Broken
from nasdsl.lowering.variation.layout import Seen, laid_out, nowhere
from nasdsl.lowering.variation.settings import Lower, Settings, said


def alive(stage: Stage, depth: Mapping[str, str]) -> bool:
    """Whether a stage stands, where the repeats around it have these depths."""
    return all(r <= int(depth[d]) for d, _, r in stage.rounds if d in depth)


def check_depths(diags: Diagnostics, base: Network, depths: list[Decision], lower: Lower) -> None:
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
                        f"{found.message}, where {said(settings)}",
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
        depth.span or deep.span or nowhere(laid_out(base)),
        behind
        if here != there
        else f"`{name}` differs, where {said({depth.id: settings[depth.id]})}",
        help="rounds of decided depth end with the shape they begin with; change the width or the "
        "stride before or behind them",
        labels=() if deep.span is None else (Label(deep.span, "this depends on the depth"),),
    )
    return Broken()


def _takes(stage: Stage) -> Shape:
    return stage.body.inputs[-1].inp if isinstance(stage.body, Cell) else stage.body.inp


def _stage(stage: Stage) -> tuple[object, ...]:
    seen = Seen()
    rewrite.stage(stage, seen)
    return seen.marks, seen.shapes, seen.leaves
