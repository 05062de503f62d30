"""Published architectures by name, from the data file `spaces/published.json`; nothing is imported
or evaluated to find one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from nasdsl import resources
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.genotype import GenotypeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An architecture of a paper: the bundled space it belongs to, its text in that space."""

    name: str
    space: str
    text: str
    paper: str
    aliases: tuple[str, ...] = ()


def catalogue() -> tuple[Published, ...]:
    """All published architectures that come with the package, by space and then by name."""
    data = json.loads(resources.read("spaces", "published.json") or "[]")
    return tuple(
        Published(
            name=entry["name"],
            space=entry["space"],
            text=entry["text"],
            paper=entry["paper"],
            aliases=tuple(entry.get("aliases", ())),
        )
        for entry in data
    )


def known(name: str) -> Published | None:
    """The architecture of a name or alias, or None."""
    for entry in catalogue():
        if name == entry.name or name in entry.aliases:
            return entry
    return None


def find(name: str, space: str = "") -> Published:
    """The architecture of a name or alias. Raises GenotypeError with the nearest name."""
    found = known(name)
    if found is not None:
        return found
    advice = near(name)
    what = f"no genotype of `{space}` and " if space else ""
    raise GenotypeError(
        f"`{name[:80]}` is {what}no published architecture"
        + (f"; {advice}" if advice else "; `nasdsl inspect published` lists them")
    )


def near(name: str) -> str | None:
    """`did you mean …?` among names and aliases, or None where none is close."""
    names = [n for entry in catalogue() for n in (entry.name, *entry.aliases)]
    return did_you_mean(name, names, limit=0)
