"""From the components of a recipe to parts at work."""

from __future__ import annotations

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


def compose(recipe: Settings) -> Parts:
    """The parts of a recipe. Every component it names must be one that runs."""
    step, select = recipe.get("step") or _STEP, recipe.get("select") or _SELECT
    sampler, perturb, stop = (recipe.get(s) for s in ("sampler", "perturb", "stop"))
    penalties = tuple(PENALTIES[c.name](c) for c in components(recipe.get("regularize")))
    named: dict[str, Any] = {
        "sampler": SAMPLERS[sampler.name](sampler),
        "step": STEPS[step.name](step),
        "select": SELECTORS[select.name](select),
    }
    if stop is not None:
        named["stop"] = STOPS[stop.name](stop)
    if perturb is not None:
        named["perturb"] = PERTURBATIONS[perturb.name](perturb)
    for slot, table in (("freeze", FREEZES), ("align", ALIGNMENTS)):
        component = recipe.get(slot)
        if component is not None:
            named[slot] = table[component.name](component)
    return Parts(
        sampler=named["sampler"],
        step=named["step"],
        select=named["select"],
        # What a selection has decided holds in every mix.
        transforms=(*transforms(recipe), *_decider(named["select"])),
        perturb=named.get("perturb"),
        stop=named.get("stop"),
        penalties=penalties,
        gradient_rules=tuple(named[s] for s in ("freeze", "align") if s in named),
        named=named,
    )


def _decider(select: Any) -> tuple[Any, ...]:
    """A selection rule that decides during the search, as a transform of the mix."""
    return (select,) if hasattr(select, "apply") else ()
