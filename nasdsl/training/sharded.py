"""What a run whose parameters are sharded over its ranks cannot do, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasdsl.fusion.profile import Profile, profile
from nasdsl.ir.config import Component, Settings, components
from nasdsl.oneshot.phases import phases_of
from nasdsl.oneshot.precision import Numerics

if TYPE_CHECKING:
    from nasdsl.training.plan import Plan
    from nasdsl.training.run import Options

#: Passes that read weights where torch's operators read them: in the modules, when they run.
_PLAIN_PROFILES = ("reference", "launch")
_DIFFERENTIATES = (
    "differentiates through the gradients, which are summed outside of what torch records"
)
_REBUILDS = "rebuilds the supernet"
#: Components that need more than a sharded network gives, by slot.
_COMPONENTS = {
    "step": {
        "implicit": _DIFFERENTIATES,
        "tempered": "reads the gradients of the weights as a whole",
    },
    "perturb": {"adversarial": "asks for gradients with resting weights"},
    "freeze": {"alignment": "reads the gradients of the weights as a whole"},
    "align": {"layers": "takes differences of gradients at other mixes"},
    "select": {"greedy": _REBUILDS, "perturbation": _REBUILDS},
    "stop": {"eigenvalue": "differentiates twice"},
    "measure": {
        "gradient_match": "asks for gradients",
        "alignment": "asks for gradients",
        "eigenvalue": "differentiates twice",
    },
}
#: Slots that put other parameters into a supernet that is there.
_SLOTS = {
    "lora": "puts adapters into the supernet",
    "entangle": "shares weights between options",
    "prune": _REBUILDS,
}


def refused(plan: Plan, options: Options, searches: bool = True) -> str | None:
    """Why a run, or a retraining alone, cannot be sharded; None where it can."""
    alone = _stand_alone(plan.recipe)
    supernet = searches and not alone
    trains = options.retrain or alone or not searches
    reasons = [
        _of_profile(profile(options.runs_as)) if supernet else None,
        of_recipe(plan.recipe) if supernet else None,
        _of_numerics(options.search) if supernet else None,
        _of_numerics(options.training(plan.train)) if trains else None,
    ]
    return next((reason for reason in reasons if reason is not None), None)


def _stand_alone(recipe: Settings) -> bool:
    step = recipe.get("step")
    return isinstance(step, Component) and step.name == "stand_alone"


def _of_profile(made: Profile) -> str | None:
    if made.name in _PLAIN_PROFILES:
        return None
    return (
        f"profile {made.name} has kernels that keep the weights of a cell, which sharding takes "
        f"away behind it (--profile {' or '.join(_PLAIN_PROFILES)})"
    )


def _of_numerics(numerics: Numerics) -> str | None:
    if not numerics.scales:
        return None
    return (
        f"precision {numerics.precision} looks for overflow in gradients as a whole (bf16 has the "
        "range)"
    )


def of_recipe(recipe: Settings) -> str | None:
    """What of a recipe a sharded supernet does not run, and why; None where it runs all."""
    if len(phases_of(recipe)) > 1:
        return f"a recipe with phases {_REBUILDS}"
    for slot, value in recipe.values:
        for component in components(value):
            if component.extension is not None:
                return f"`{slot} = {component.name}` comes from a plugin, which may read weights"
            if (
                component.name == "alternating"
                and str(component.get("order") or "first") != "first"
            ):
                return f"`{slot} = alternating(order = {component.get('order')})` {_DIFFERENTIATES}"
            reason = _COMPONENTS.get(slot, {}).get(component.name)
            if reason is not None:
                return f"`{slot} = {component.name}` {reason}"
    for slot, reason in _SLOTS.items():
        if recipe.get(slot) is not None:
            return f"`{slot}` {reason}"
    return None
