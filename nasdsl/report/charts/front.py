"""Points by what they cost and what they are worth, and those that no other beats in both."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nasdsl.report.charts.axis import decades, marks, widened
from nasdsl.report.charts.chart import WIDTH, Chart, colour, gutter, text

#: Series, cost, worth.
Point = tuple[str, float, float]


def on_front(points: Sequence[Point], *, higher: bool = True) -> list[bool]:
    """Whether no other point costs at most as much and is worth at least as much, one of it more."""
    sign = 1 if higher else -1
    return [
        not any(c <= a and sign * d >= sign * b and (c, d) != (a, b) for _, c, d in points)
        for _, a, b in points
    ]


def front(
    points: Sequence[Point], *, across: str, up: str, higher: bool = True, order: Sequence[str] = ()
) -> Chart | None:
    """The cost is logarithmic; a line joins the Pareto front and its points are ringed.

    `order` are the names by which colours are given.
    """
    known = [p for p in points if p[1] > 0 and math.isfinite(p[2])]
    if not known:
        return None
    height, bottom, top = 300.0, 40.0, 22.0
    x0, x1 = min(p[1] for p in known), max(p[1] for p in known)
    y0, y1 = widened(min(p[2] for p in known), max(p[2] for p in known))
    steps = marks(y0, y1, 5)
    left = gutter([said for _, said in steps]) + 4
    span = math.log10(x1 / x0) or 1.0

    def x(v: float) -> float:
        return left + 12 + math.log10(v / x0) / span * (WIDTH - left - 34)

    def y(v: float) -> float:
        return height - bottom - 8 - (v - y0) / (y1 - y0) * (height - bottom - top - 18)

    names = list(order) or list(dict.fromkeys(p[0] for p in points))
    body = []
    for tick, said in steps:
        body.append(f'<path class="axis" d="M {left:.1f} {y(tick):.1f} H {WIDTH - 8}"/>')
        body.append(text(left - 5, y(tick) + 4, said, anchor="end", soft=True))
    for value, said in decades(x0, x1):
        anchor = "start" if x(value) < left + 30 else "end" if x(value) > WIDTH - 40 else "middle"
        body.append(text(x(value), height - bottom + 16, said, anchor=anchor, soft=True))
    body.append(text(WIDTH / 2, height - 6, across, soft=True))
    body.append(text(4, 12, up, anchor="start", soft=True))
    best = on_front(known, higher=higher)
    line = sorted((x(a), y(b)) for (_, a, b), ringed in zip(known, best, strict=True) if ringed)
    if len(line) > 1:
        path = " L ".join(f"{a:.1f} {b:.1f}" for a, b in line)
        body.append(
            f'<path d="M {path}" fill="none" style="stroke: var(--soft)" '
            'stroke-width="1" stroke-dasharray="4 3"/>'
        )
    for (name, a, b), ringed in zip(known, best, strict=True):
        body.append(
            f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="4" fill-opacity=".8" '
            f'style="fill: {colour(names.index(name))}"/>'
        )
        if ringed:
            body.append(
                f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="8" fill="none" '
                'style="stroke: var(--ink)" stroke-width="1.3"/>'
            )
    return Chart(
        title=f"{up} against {across}",
        width=WIDTH,
        height=height,
        body=tuple(body),
        head=("", across, up, "on the front"),
        rows=tuple((n, a, b, int(r)) for (n, a, b), r in zip(known, best, strict=True)),
        key=tuple(names),
    )
