"""How results move with the cut of the data, as sections of a page."""

from __future__ import annotations

import math

from nasdsl.report.charts.lines import lines
from nasdsl.report.cuts_text import FAMILIES, bounds_text, share_text
from nasdsl.report.html import page
from nasdsl.report.html.parts import Beside, Figure, Part, Section, Table, figure
from nasdsl.suite.statistics.cuts import Cuts, Orders, Series


def cuts_section(found: Cuts) -> Section:
    """All families and orders."""
    parts: list[Part] = [
        page.paragraph(
            "Intervals are Student's t over seeds of the order. Tau is Kendall's tau-b with the "
            "ranking at 50/50, seed by seed; of seeds: that of the rankings of two seeds at the "
            "same cut, what a ranking agrees with itself.",
            soft=True,
        ),
        *(page.note(n) for n in found.notes),
    ]
    for s in found.series:
        parts += _series(s)
    for o in found.orders:
        parts += _orders(o)
    return Section("Cuts of the data", parts)


def _series(s: Series) -> list[Part]:
    name = f"{s.family} {s.order}"
    rows = [
        [
            share_text(c.share),
            f"{c.mean.mean:.2f}\n{bounds_text(c.mean.bounds)}",
            ""
            if c.change is None
            else f"{c.change.mean:+.2f}\n{bounds_text(c.change.bounds, signed=True)}",
            "" if c.tau is None else f"{c.tau.mean:+.2f}\n{bounds_text(c.tau.bounds, signed=True)}",
            "" if c.noise is None else f"{c.noise:+.2f}",
        ]
        for c in s.cuts
    ]
    head = ["", "mean", "change from 50/50", "tau with 50/50", "tau of seeds"]
    series = {
        o: [(float(100 * c.share), c.optimizers[o].mean) for c in s.cuts]
        for o in s.cuts[0].optimizers
    }
    drawn: list[Figure] = []
    drawn += figure(
        f"means by cut {name}", lines(series, title="mean of each optimizer", across="share, %")
    )
    taus = {
        "with 50/50": [(float(100 * c.share), c.tau.mean) for c in s.cuts if c.tau is not None],
        "of seeds": [(float(100 * c.share), c.noise) for c in s.cuts if c.noise is not None],
    }
    known = {n: points for n, points in taus.items() if points}
    drawn += figure(
        f"tau by cut {name}", lines(known, title="tau of the rankings", across="share, %", high=1.0)
    )
    said = f"{FAMILIES.get(s.family, s.family)}, {s.order}, {s.seeds} seeds"
    if s.slope is not None:
        said += f"; {s.slope.mean:+.2f} for 10 % more"
        if s.slope.bounds is not None:
            said += f" ({bounds_text(s.slope.bounds, signed=True)})"
    return [page.paragraph(said), Table(f"cuts {name}", rows, head), Beside(drawn)]


def _orders(o: Orders) -> list[Part]:
    rows = [
        [
            share_text(share),
            f"{d.mean:+.2f}\n{bounds_text(d.bounds, signed=True)}",
            f"{t:+.2f}" if math.isfinite(t) else "",
        ]
        for share, d, t in o.cuts
    ]
    said = page.paragraph(f"{o.first} minus {o.second}, {FAMILIES.get(o.family, o.family)}")
    name = f"orders {o.family} {o.first} {o.second}"
    return [said, Table(name, rows, ["", "difference", "tau"])]
