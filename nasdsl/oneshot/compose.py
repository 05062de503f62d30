"""From the components of a recipe to parts at work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nasdsl.ir.config import Component, Settings, components
from nasdsl.oneshot.gradients.table import ALIGNMENTS, FREEZES
from nasdsl.oneshot.parts import Parts
from nasdsl.oneshot.penalties.table import PENALTIES
from nasdsl.oneshot.perturb.table import PERTURBATIONS
from nasdsl.oneshot.samplers.table import SAMPLERS
from nasdsl.oneshot.select.table import SELECTORS
from nasdsl.oneshot.steps.table import STEPS
from nasdsl.oneshot.stop.table import STOPS

#: What a recipe that says nothing of a slot does.
_STEP, _SELECT = Component("alternating"), Component("argmax")


def _made(table: Mapping[str, Callable[[Component], Any]], component: Component) -> Any:
    """The part of a component: by the table, or by the plugin that it comes from."""
    if component.extension is not None:
        return component.extension.build(component)
    return table[component.name](component)


def compose(recipe: Settings) -> Parts:
    """The parts of a recipe. Every component it names must be one that runs."""
    step, select = recipe.get("step") or _STEP, recipe.get("select") or _SELECT
    sampler, perturb, stop = (recipe.get(s) for s in ("sampler", "perturb", "stop"))
    penalties = tuple(_made(PENALTIES, c) for c in components(recipe.get("regularize")))
    # The mixes of built-in transforms have a table of their own; a plugin brings its maker.
    transforms = tuple(_made({}, c) for c in components(recipe.get("mix")))
    named: dict[str, Any] = {
        "sampler": _made(SAMPLERS, sampler),
        "step": _made(STEPS, step),
        "select": _made(SELECTORS, select),
    }
    if stop is not None:
        named["stop"] = _made(STOPS, stop)
    if perturb is not None:
        named["perturb"] = _made(PERTURBATIONS, perturb)
    for slot, table in (("freeze", FREEZES), ("align", ALIGNMENTS)):
        component = recipe.get(slot)
        if component is not None:
            named[slot] = _made(table, component)
    for slot, parts in (("mix", transforms), ("regularize", penalties)):
        for component, part in zip(components(recipe.get(slot)), parts, strict=True):
            named[f"{slot}.{component.name}"] = part
    return Parts(
        sampler=named["sampler"],
        step=named["step"],
        select=named["select"],
        perturb=named.get("perturb"),
        stop=named.get("stop"),
        penalties=penalties,
        transforms=transforms,
        gradient_rules=tuple(named[s] for s in ("freeze", "align") if s in named),
        named=named,
    )
