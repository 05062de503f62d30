"""From the components of a recipe to parts at work; and what of a recipe this version runs."""

from __future__ import annotations

from typing import Any

from nasdsl.ir.config import Component, Settings, Total
from nasdsl.oneshot.parts import Parts
from nasdsl.oneshot.samplers.table import SAMPLERS
from nasdsl.oneshot.select.table import SELECTORS
from nasdsl.oneshot.steps.table import STEPS

#: What a recipe that says nothing of a slot does.
_STEP, _SELECT = Component("alternating"), Component("argmax")


def components(value: Any) -> tuple[Component, ...]:
    """The components of a slot: none, one, or the terms of a sum."""
    match value:
        case Component():
            return (value,)
        case Total():
            return tuple(p for p in value.parts if isinstance(p, Component))
        case _:
            return ()


def compose(recipe: Settings) -> Parts:
    """The parts of a recipe. Every component it names must be one that runs."""
    sampler, step, select = (recipe.get(s) for s in ("sampler", "step", "select"))
    step, select = step or _STEP, select or _SELECT
    made: dict[str, Any] = {
        "sampler": SAMPLERS[sampler.name](sampler),
        "step": STEPS[step.name](step),
        "select": SELECTORS[select.name](select),
    }
    return Parts(sampler=made["sampler"], step=made["step"], select=made["select"], named=made)
