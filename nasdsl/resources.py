"""Finds the bundled `grammars/` and `spaces/`: in a wheel, an editable install or a checkout."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def folder(kind: str) -> Traversable:
    """The bundled folder `grammars` or `spaces`.

    A wheel carries both inside the package; a checkout keeps them beside it.
    """
    inside = files("nasdsl") / kind
    if inside.is_dir():
        return inside
    return Path(__file__).resolve().parent.parent / kind


def read(kind: str, relative: str) -> str | None:
    """The text of a bundled file, or None where there is none."""
    place = folder(kind)
    for part in relative.split("/"):
        place = place / part
    return place.read_text(encoding="utf-8") if place.is_file() else None


def listing(kind: str, suffix: str) -> tuple[str, ...]:
    """Relative names of all bundled files that end in `suffix`, sorted."""

    def walk(place: Traversable, prefix: str) -> list[str]:
        found: list[str] = []
        for entry in place.iterdir():
            name = f"{prefix}{entry.name}"
            if entry.is_dir():
                found.extend(walk(entry, name + "/"))
            elif name.endswith(suffix):
                found.append(name)
        return found

    return tuple(sorted(walk(folder(kind), "")))
