"""Two architectures beside each other: what differs, and whether that makes a difference."""

from __future__ import annotations

from typing import Any

from nasdsl.ir.canonical import NOTIONS, Canonical
from nasdsl.ir.distance import changes
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Space

WIDTH = 80


def difference_report(a: Genotype, b: Genotype, space: Space) -> dict[str, Any]:
    """What differs as plain data; picks are [decision, label]."""
    found = changes(space, a, b)
    same = {}
    for notion in NOTIONS:
        identity = Canonical(space, notion)
        same[notion] = identity(a) == identity(b)
    return {
        "schema": 1,
        "space": space.name,
        "distance": sum(change.distance for change in found),
        "same": same,
        "changes": [
            {
                "place": change.place,
                "distance": change.distance,
                "a": [list(pick) for pick in change.a],
                "b": [list(pick) for pick in change.b],
            }
            for change in found
        ],
    }


def difference_text(report: dict[str, Any]) -> str:
    """The report for a person, 80 columns wide: a line for each place, two where it is long."""
    distance = report["distance"]
    lines = [f"distance   {distance}", f"same       {_same(report)}"]
    places = [change["place"] for change in report["changes"]]
    column = min(24, max((len(p) for p in places), default=0)) + 2
    for change in report["changes"]:
        a, b = _picks(change["a"]), _picks(change["b"])
        head = change["place"].ljust(column)
        line = f"{head}{a or 'nothing'} -> {b or 'nothing'}"
        if len(line) <= WIDTH:
            lines.append(line)
            continue
        lines.append(change["place"])
        for sign, text in (("-", a), ("+", b)):
            lines.extend(_wrapped(f"  {sign} ", text))
    return "\n".join(lines) + "\n"


def _same(report: dict[str, Any]) -> str:
    same = report["same"]
    if not report["changes"]:
        return "yes, to the letter"
    if same["network"]:
        return "yes: isomorphic networks, written differently"
    others = [notion for notion in NOTIONS if same[notion]]
    return f"no; only by the notion `{others[0]}`" if others else "no"


def _picks(picks: list[list[str]]) -> str:
    """`sep_conv_3x3(prev) + skip_connect(x[1])`; labels alone where there are no edges."""
    terms = []
    for identity, label in picks:
        source = identity.partition("<-")[2]
        terms.append(f"{label}({source})" if source not in ("", "*") else label)
    return " + ".join(terms)


def _wrapped(head: str, text: str) -> list[str]:
    """Terms of a sum in lines, later ones indented below the first."""
    lines = [head]
    for term in (text or "nothing").split(" + "):
        glue = "" if lines[-1] in (head, " " * len(head)) else " + "
        if glue and len(lines[-1]) + len(glue) + len(term) > WIDTH:
            lines[-1] += " +"
            lines.append(" " * len(head))
            glue = ""
        lines[-1] += glue + term
    return lines
