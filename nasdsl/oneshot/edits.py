"""The graph edits of a recipe on the space of its supernet, and what of them runs by a schedule.

The order is fixed, so that the order in a file never matters: options are pruned, channels split,
edges weighted, outputs dropped, mixes explored, and the auxiliary skip stands beside all of that. It is one
skip of all channels, also where only a part of them runs through the mixed operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from nasdsl.codegen.supernet import Supernet
from nasdsl.ir.config import Component, Settings, components, value_at
from nasdsl.ir.space import Space
from nasdsl.oneshot import entangle, lora
from nasdsl.oneshot.session import Session
from nasdsl.ops.edits import Dropped, Explorer, Scaled
from nasdsl.passes.aux_skip import aux_skip
from nasdsl.passes.drop_op import drop_op
from nasdsl.passes.edge_norm import edge_norm
from nasdsl.passes.edges import PassError
from nasdsl.passes.explore import explore
from nasdsl.passes.partial import partial
from nasdsl.passes.prune import prune


def edited(space: Space, recipe: Settings, kept: Mapping[str, Sequence[str]]) -> Space:
    """The space as its supernet is searched. Raises PassError, PruneError."""
    space = prune(space, kept)
    component = recipe.get("partial")
    if isinstance(component, Component):
        space = partial(space, parts_of(component))
        if component.get("edge_norm"):
            space = edge_norm(space)
    dropped = recipe.get("drop_op")
    if dropped is not None:
        space = drop_op(space, labels_of(dropped))
    if exploration(recipe) is not None:
        space = explore(space)
    weight = recipe.get("aux_skip")
    if weight is not None:
        # What is not set from step to step, as a network that is exported, has the last value.
        epochs = int(recipe.get("epochs"))
        last = value_at(weight, step=epochs - 1, steps=epochs, steps_per_epoch=1)
        space = aux_skip(space, last)
    return space


def exploration(recipe: Settings) -> Any:
    """The weight of `mix = explore(weight)`, None without it."""
    found = [c for c in components(recipe.get("mix")) if c.name == "explore"]
    return found[0].get("weight") if found else None


def plain(supernet: Supernet) -> Supernet:
    """The supernet with a weight of its own in every convolution, in place: what is saved."""
    lora.merge(supernet)
    entangle.part(supernet)
    return supernet


def parts_of(component: Component) -> int:
    """k of `channels(1/k)`. Raises PassError for other fractions."""
    fraction = Fraction(component.get("fraction"))
    if fraction.numerator != 1:
        raise PassError(f"`partial`: the fraction is 1/k with a whole k, not {fraction}")
    return fraction.denominator


def labels_of(dropped: Any) -> tuple[str, ...]:
    """The options of `drop_op = {label: schedule, …}`. Raises PassError for other values."""
    if not isinstance(dropped, dict):
        raise PassError("`drop_op` is a map from options to probabilities: `{skip_connect: 0.3}`")
    return tuple(str(label) for label in dropped)


def follow(session: Session) -> None:
    """Set what runs by a schedule to its value at this step."""
    weight, dropped = session.recipe.get("aux_skip"), session.recipe.get("drop_op")
    if weight is not None:
        by = session.now(weight, "aux_skip")
        for module in session.supernet.modules():
            if isinstance(module, Scaled):
                module.by = by
    weight = exploration(session.recipe)
    if weight is not None:
        by = session.now(weight, "mix")
        for module in session.supernet.modules():
            if isinstance(module, Explorer):
                module.by = by
    if dropped is not None:
        values = {str(label): session.now(p, "drop_op") for label, p in dropped.items()}
        for label, module in _dropped(session.supernet):
            module.p = values[label]


def calm(supernet: Supernet) -> None:
    """No dropout of options, for evaluation with batch statistics; `follow` brings it back."""
    for _, module in _dropped(supernet):
        module.p = 0.0


def _dropped(supernet: Supernet) -> list[tuple[str, Dropped]]:
    found: list[tuple[str, Dropped]] = []
    for name, module in supernet.named_modules():
        if isinstance(module, Dropped):
            found.append((supernet.options[_option(supernet, name)][1], module))
    return found


def _option(supernet: Supernet, name: str) -> str:
    """The path of the innermost option that a module stands in."""
    path = name
    while path not in supernet.options:
        path = path.rpartition(".")[0]
    return path
