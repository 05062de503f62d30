"""Definitions and parameters by name, and what to say where there is none."""

from __future__ import annotations

from collections.abc import Iterable

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.diagnostics.suggest import did_you_mean, nearest
from nasdsl.lowering.elsewhere import BLOCKS, bundled_hint
from nasdsl.lowering.modules import Def, Module
from nasdsl.syntax import ast


def lookup(module: Module, name: ast.Name, diags: Diagnostics, what: str) -> Def | None:
    """A definition by its plain or dotted name; E101 where there is none."""
    place = module
    for part in name.parts[:-1]:
        inner = place.files.get(part)
        if inner is None:
            if part not in place.lost:
                diags.add(
                    "E101",
                    name.span,
                    f"unknown file name `{part}`",
                    help=did_you_mean(part, place.files),
                )
            return None
        place = inner
    found = place.names.get(name.parts[-1])
    if found is None and name.parts[-1] not in place.lost:
        kind = what.split()[0]
        same = [n for n, d in place.names.items() if d.kind == kind] or list(place.names)
        library = None
        if len(name.parts) == 1:
            library = bundled_hint(name.text, (kind,) if kind in BLOCKS else BLOCKS)
        near = library or did_you_mean(name.parts[-1], same)
        diags.add("E101", name.span, f"unknown {what}: `{name.text}`", help=near)
    return found


def has(word: str, names: Iterable[str], more: Iterable[str] = ()) -> str | None:
    """A help line for an unknown parameter: a near miss, and what there is."""
    known = list(names)
    near = nearest(word, [*known, *more])
    listed = "it has " + ", ".join(known) if known else None
    if near is None:
        return listed
    return f"did you mean `{near}`?" + (f" {listed}" if listed else "")
