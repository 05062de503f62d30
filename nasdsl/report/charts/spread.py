"""Every value as a dot, with the mean and its interval."""

from __future__ import annotations

from collections.abc import Sequence

from nasdsl.report.charts.axis import marks, widened
from nasdsl.report.charts.chart import WIDTH, Chart, colour, fitted, gutter, text

#: Name, values, mean, bounds of the interval.
Row = tuple[str, Sequence[float], float, tuple[float, float] | None]


def spread(rows: Sequence[Row], *, title: str, across: str = "") -> Chart | None:
    """A row per name: every value as a dot, the mean as a stroke, its interval as a bar."""
    values = [v for _, vs, *_ in rows for v in vs] + [m for _, _, m, _ in rows]
    values += [b for *_, i in rows if i is not None for b in i]
    if not values:
        return None
    low, high = widened(min(values), max(values))
    left, right, step = gutter([r[0] for r in rows]), 14.0, 22

    def x(v: float) -> float:
        return left + 6 + (v - low) / (high - low) * (WIDTH - left - right - 6)

    body = []
    height = step * len(rows) + (40 if across else 26)
    bottom = height - (36 if across else 22)
    for tick, said in marks(low, high, 4):
        body.append(f'<path class="axis" d="M {x(tick):.1f} 2 V {bottom}"/>')
        body.append(text(x(tick), bottom + 14, said, soft=True))
    if across:
        body.append(text((left + WIDTH) / 2, height - 5, across, soft=True))
    for i, (name, dots, mean, bounds) in enumerate(rows):
        y = step * i + 13
        body.append(text(left - 8, y + 4, fitted(name, left - 8), anchor="end"))
        if bounds is not None:
            body.append(
                f'<path d="M {x(bounds[0]):.1f} {y} H {x(bounds[1]):.1f}" stroke-width="7" '
                f'stroke-opacity=".3" style="stroke: {colour(i)}"/>'
            )
        body += [
            f'<circle cx="{x(v):.1f}" cy="{y}" r="2.6" fill-opacity=".75" '
            f'style="fill: {colour(i)}"/>'
            for v in dots
        ]
        body.append(
            f'<path d="M {x(mean):.1f} {y - 7} V {y + 7}" stroke-width="2" '
            f'style="stroke: {colour(i)}"/>'
        )
    most = max(len(r[1]) for r in rows)
    return Chart(
        title=title,
        width=WIDTH,
        height=height,
        body=tuple(body),
        head=("", "mean", "low", "high", *(f"value {i + 1}" for i in range(most))),
        rows=tuple(
            (name, mean, *(bounds or (None, None)), *vs, *[None] * (most - len(vs)))
            for name, vs, mean, bounds in rows
        ),
    )
