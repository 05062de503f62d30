"""The phases of a recipe: stretches of a search with slots of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from nasdsl.ir.config import Settings, Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of `epochs` from epoch `first` on; `own` are the slots the phase itself writes.

    A recipe without phases is one phase that owns every slot.
    """

    name: str
    settings: Settings
    own: frozenset[str]
    first: int
    epochs: int


def phases_of(recipe: Settings) -> tuple[Phase, ...]:
    """The phases in order, each with the recipe's slots behind its own."""
    if not recipe.phases:
        own = frozenset(slot for slot, _ in recipe.values)
        epochs = int(recipe.get("epochs"))
        return (Phase(name="", settings=recipe, own=own, first=0, epochs=epochs),)
    found: list[Phase] = []
    first = 0
    for name, part in recipe.phases:
        own = frozenset(slot for slot, _ in part.values)
        behind = tuple((slot, v) for slot, v in recipe.values if slot not in own)
        over = dict(part.network)
        network = (*((k, v) for k, v in recipe.network if k not in over), *part.network)
        settings = replace(recipe, values=(*behind, *part.values), network=network, phases=())
        epochs = int(part.get("epochs"))
        found.append(Phase(name=name, settings=settings, own=own, first=first, epochs=epochs))
        first += epochs
    return tuple(found)


#: What may survive from the phase before.
CARRIED = ("weights", "arch")


def carried(settings: Settings) -> frozenset[str]:
    """What a phase takes over: `carry = {weights, arch}`, which is also the default.

    `none` is nothing. Names it does not know are refused where a run is planned.
    """
    for slot, value in settings.values:
        if slot == "carry":
            return frozenset(_names(value))
    return frozenset(CARRIED)


def _names(value: Any) -> tuple[str, ...]:
    match value:
        case None:
            return ()
        case Word():
            return () if value.text == "none" else (value.text,)
        case tuple() | list() | frozenset() | set():
            return tuple(str(v) for v in value)
        case _:
            return (str(value),)


def phase_at(phases: tuple[Phase, ...], epoch: int) -> int:
    """The index of the phase an epoch (0-based) belongs to; the last one goes on for ever."""
    for i, phase in enumerate(phases):
        if epoch < phase.first + phase.epochs:
            return i
    return len(phases) - 1
