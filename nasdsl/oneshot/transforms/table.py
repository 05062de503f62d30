"""Transform by name: one line per component of the slot `mix` that acts behind the sampler.

The order is this one, not that of the file. `attention` acts before the sampler and belongs to the
architecture parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nasdsl.ir.config import Component, Settings, components
from nasdsl.oneshot.parts import Transform
from nasdsl.oneshot.transforms.dropout import Dropout

TRANSFORMS: Mapping[str, Callable[[Component], Transform]] = MappingProxyType(
    {
        "dropout": lambda c: Dropout(c.get("p")),
    }
)


def transforms(recipe: Settings) -> dict[str, Transform]:
    """The transforms of a recipe in their fixed order: built-in ones, then plugins' by name."""
    given = {c.name: c for c in components(recipe.get("mix"))}
    found = {name: make(given[name]) for name, make in TRANSFORMS.items() if name in given}
    for name in sorted(given):
        extension = given[name].extension
        if extension is not None:
            found[name] = extension.build(given[name])
    return found


def attends(recipe: Settings) -> bool:
    """Whether the sampler of a recipe sees attended alphas."""
    return any(c.name == "attention" for c in components(recipe.get("mix")))
