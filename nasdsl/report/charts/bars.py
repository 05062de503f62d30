"""Amounts as bars, a row each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nasdsl.report.charts.chart import WIDTH, Chart, colour, fitted, gutter, text


def bars(
    parts: Sequence[tuple[str, float]], *, title: str, what: str, form: str = "{:.1f} %"
) -> Chart | None:
    """A bar per name, from 0 to the largest amount. None without any."""
    known = [(n, v) for n, v in parts if math.isfinite(v)]
    if not known:
        return None
    left, step = gutter([n for n, _ in known]), 22
    most = max(max(v for _, v in known), 1e-12)
    body = []
    for i, (name, value) in enumerate(known):
        y = step * i + 4
        long = max(0.5, max(0.0, value) / most * (WIDTH - left - 64))
        body.append(text(left - 8, y + 12, fitted(name, left - 8), anchor="end"))
        body.append(
            f'<rect x="{left:.1f}" y="{y}" width="{long:.1f}" height="15" '
            f'style="fill: {colour(i)}"/>'
        )
        body.append(text(left + long + 6, y + 12, form.format(value), anchor="start", soft=True))
    return Chart(
        title=title,
        width=WIDTH,
        height=step * len(known) + 8,
        body=tuple(body),
        head=("", what),
        rows=tuple(parts),
    )
