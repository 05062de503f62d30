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
from nasdsl.oneshot.transforms.table import transforms

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
    mixes = transforms(recipe)
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
    named |= {f"mix.{name}": part for name, part in mixes.items()}
    for component, part in zip(components(recipe.get("regularize")), penalties, strict=True):
        named[f"regularize.{component.name}"] = part
    return Parts(
        sampler=named["sampler"],
        step=named["step"],
        select=named["select"],
        # What a selection has decided holds in every mix.
        transforms=(*mixes.values(), *_decider(named["select"])),
        perturb=named.get("perturb"),
        stop=named.get("stop"),
        penalties=penalties,
        gradient_rules=tuple(named[s] for s in ("freeze", "align") if s in named),
        named=named,
    )


def _decider(select: Any) -> tuple[Any, ...]:
    """A selection rule that decides during the search, as a transform of the mix."""
    return (select,) if hasattr(select, "apply") else ()
