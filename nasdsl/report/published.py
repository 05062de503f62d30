"""The published architectures that come with the package, by space; which of them one is."""

from __future__ import annotations

from typing import Any

from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import Genotype, GenotypeError
from nasdsl.ir.published import Published, catalogue
from nasdsl.ir.space import Space
from nasdsl.report.columns import indent, table

SCHEMA = 1


def published_report() -> dict[str, Any]:
    """Every published architecture: name, aliases, space, paper, text."""
    return {
        "schema": SCHEMA,
        "architectures": [
            {
                "name": entry.name,
                "aliases": list(entry.aliases),
                "space": entry.space,
                "paper": entry.paper,
                "text": entry.text,
            }
            for entry in catalogue()
        ],
    }


def published_text() -> str:
    """The report as text: a block per space."""
    entries = catalogue()
    lines = [f"{len(entries)} published architectures"]
    for space in dict.fromkeys(entry.space for entry in entries):
        rows = [
            [entry.name, entry.paper, ", ".join(entry.aliases)]
            for entry in entries
            if entry.space == space
        ]
        lines += ["", f"space {space}", *indent(table(rows, header=("", "paper", "also")))]
    return "\n".join(lines) + "\n"


def same(genotype: Genotype, space: Space) -> list[Published]:
    """The published architectures that are this one, up to the order of a node's edges."""
    picks = sorted(genotype.picks)
    found = []
    for entry in catalogue():
        try:
            other = forms.parse(entry.text, space)
        except GenotypeError:
            continue  # of another space
        if sorted(other.picks) == picks and other.outputs == genotype.outputs:
            found.append(entry)
    return found
