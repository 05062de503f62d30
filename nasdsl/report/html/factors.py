"""Levels of a factor beside each other, as sections of a page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nasdsl.report.charts.lines import lines
from nasdsl.report.html import page
from nasdsl.report.html.parts import Part, Section, Table, figure
from nasdsl.suite.statistics.factors import Factor, Pair
from nasdsl.suite.statistics.verdict import short


def factor_sections(found: Sequence[Factor]) -> list[Section]:
    """A section for each factor that a suite compares by."""
    return [_section(f) for f in found]


def _section(of: Factor) -> Section:
    parts: list[Part] = [page.note(n) for n in of.notes]
    rows = [[item, *(f"{v:.2f}" for v in values)] for item, values in of.means.items()]
    parts.append(Table(f"means by {of.title}", rows, ["mean", *of.levels]))
    parts += _curve(of)
    parts += _matrix(of)
    return Section(f"By {of.title}", parts)


def _curve(of: Factor) -> list[Part]:
    """Means against the level, where levels are numbers."""
    try:
        places = [float(level) for level in of.levels]
    except ValueError:
        return []
    series = {item: list(zip(places, v, strict=True)) for item, v in of.means.items()}
    drawn = lines(series, title=f"means by {of.title}", across=of.title)
    return [*figure(f"means by {of.title} as lines", drawn)]


def _matrix(of: Factor) -> list[Part]:
    if not of.pairs:
        return []
    known = {(p.a, p.b): p for p in of.pairs}
    rows: list[list[str]] = []
    shades: list[list[float | None]] = []
    for i, a in enumerate(of.levels):
        row: list[str] = [a]
        shade: list[float | None] = [None]
        for j, b in enumerate(of.levels):
            p = known.get((a, b) if i < j else (b, a))
            row.append("" if p is None else _said(p, of.k))
            shade.append(None if p is None or math.isnan(p.tau) else p.tau)
        rows.append(row)
        shades.append(shade)
    first = of.pairs[0]
    said = (
        f"Kendall's tau-b of {first.items} items, mean over {first.blocks} "
        f"block{'s' * (first.blocks != 1)}; below it "
        + (
            "its p"
            if first.p is not None
            else "Student's 95 % interval over blocks"
            if first.bounds
            else "Spearman's rho"
        )
        + (f", and the share of the best {of.k} that are the same" if of.k is not None else "")
        + "."
    )
    return [
        page.paragraph(said, soft=True),
        Table(f"tau by {of.title}", rows, ["", *of.levels], shades),
    ]


def _said(p: Pair, k: int | None) -> str:
    if p.p is not None:
        below = f"p {short(p.p)}"
    elif p.bounds is not None:
        below = f"{p.bounds.low:+.2f} to {p.bounds.high:+.2f}"
    else:
        below = f"rho {p.rho:+.2f}"
    if k is not None and p.overlap is not None:
        below += f", {100 * p.overlap:.0f} %"
    return f"{p.tau:+.2f}\n{below}"
