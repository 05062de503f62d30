"""Lines over epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nasdsl.report.charts.axis import marks, ticks, widened
from nasdsl.report.charts.chart import WIDTH, Chart, colour, dash, fitted, gutter, text

#: Points of a line that are drawn; of more, evenly spaced ones. The table has them all.
DRAWN = 120

Series = Mapping[str, Sequence[tuple[float, float]]]


def lines(
    series: Series,
    *,
    title: str = "",
    across: str = "epoch",
    small: bool = False,
    from_zero: bool = False,
    high: float | None = None,
) -> Chart | None:
    """Each series is a list of (x, y); y that is no number is left out. None without a point.

    `from_zero` begins the axis at 0, unless the lines would then lie on top of each other.
    """
    points = [p for s in series.values() for p in s if math.isfinite(p[1])]
    if not points:
        return None
    width, height = (280.0, 150.0) if small else (WIDTH, 230.0)
    x0, x1 = min(p[0] for p in points), max(p[0] for p in points)
    least, most = min(p[1] for p in points), max(p[1] for p in points)
    if from_zero and least >= 0 and most - least > most / 4:
        least = 0.0
    y0, y1 = widened(least, most if high is None else high)
    steps = marks(y0, y1, 3 if small else 5)
    left = gutter([said for _, said in steps]) + 2
    right, top, bottom = 10.0, 22.0 if title else 8.0, 32.0 if not small else 20.0

    def x(v: float) -> float:
        return left + (v - x0) / ((x1 - x0) or 1) * (width - left - right)

    def y(v: float) -> float:
        return height - bottom - (v - y0) / (y1 - y0) * (height - top - bottom)

    body = [text(2, 13, fitted(title, width - 4), anchor="start")] if title else []
    for tick, said in steps:
        body.append(f'<path class="axis" d="M {left:.1f} {y(tick):.1f} H {width - right}"/>')
        body.append(text(left - 5, y(tick) + 4, said, anchor="end", soft=True))
    for value in _whole(x0, x1, 3 if small else 8):
        anchor = "end" if x(value) > width - right - 10 else "middle"
        body.append(text(x(value), height - bottom + 15, f"{value:g}", anchor=anchor, soft=True))
    if not small:
        body.append(text(width / 2, height - 4, across, soft=True))
    for i, values in enumerate(series.values()):
        known = _thinned([(a, b) for a, b in values if math.isfinite(b)], small=small)
        if not known:
            continue
        path = " L ".join(f"{x(a):.1f} {y(b):.1f}" for a, b in known)
        body.append(
            f'<path d="M {path}" fill="none" style="stroke: {colour(i)}" stroke-width="1.8"'
            f"{dash(i)}/>"
        )
        if len(known) == 1:
            a, b = known[0]
            body.append(
                f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.5" style="fill: {colour(i)}"/>'
            )
    head, rows = _table(series, across)
    return Chart(
        title=title or f"lines by {across}",
        width=width,
        height=height,
        body=tuple(body),
        head=head,
        rows=rows,
        key=tuple(series) if len(series) > 1 else (),
    )


def _whole(low: float, high: float, count: int) -> list[float]:
    """Whole values of an axis of epochs; the only one where there is one."""
    if high - low < 1e-9:
        return [low]
    return [v for v in ticks(low, high, count) if abs(v - round(v)) < 1e-9] or [low, high]


def _thinned(points: list[tuple[float, float]], *, small: bool) -> list[tuple[float, float]]:
    most = DRAWN // 3 if small else DRAWN
    if len(points) <= most:
        return points
    last = len(points) - 1
    return [points[round(i * last / (most - 1))] for i in range(most)]


def _table(
    series: Series, across: str
) -> tuple[tuple[str, ...], tuple[tuple[float | None, ...], ...]]:
    known = [dict(values) for values in series.values()]
    places = sorted({a for values in series.values() for a, _ in values})
    return (across, *series), tuple((a, *(k.get(a) for k in known)) for a in places)
