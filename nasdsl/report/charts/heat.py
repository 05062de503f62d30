"""A table whose cells are shaded, as a drawing."""

from __future__ import annotations

from collections.abc import Sequence

from nasdsl.report.charts.chart import Chart, fitted, gutter, text


def heat(
    rows: Sequence[Sequence[str]],
    head: Sequence[str],
    shades: Sequence[Sequence[float | None]],
    *,
    title: str,
) -> Chart:
    """A heat-map of texts; shades in [-1, 1]: blue for high ones, orange for low ones.

    The first of a row is its name. As wide as it needs to be.
    """
    left = gutter([r[0] for r in rows], most=260)
    cell = max(gutter([h, *(r[i] for r in rows)], most=150) for i, h in enumerate(head) if i) + 6
    step, top = 26.0, 24.0
    body = [
        text(left + cell * (i + 0.5), 16, fitted(name, cell - 4), soft=True)
        for i, name in enumerate(head[1:])
    ]
    for i, row in enumerate(rows):
        y = top + step * i
        body.append(text(left - 8, y + 17, fitted(row[0], left - 8), anchor="end"))
        for j, said in enumerate(row[1:]):
            shade = shades[i][j + 1] if i < len(shades) and j + 1 < len(shades[i]) else None
            x = left + cell * j
            if shade is not None:
                tone = "good" if shade >= 0 else "bad"
                body.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell - 1:.1f}" '
                    f'height="{step - 1:.1f}" style="fill: var(--{tone})" '
                    f'fill-opacity="{min(1.0, abs(shade)) * 0.45:.2f}"/>'
                )
            body.append(text(x + cell / 2, y + 17, fitted(said.partition(chr(10))[0], cell - 4)))
    return Chart(
        title=title,
        width=left + cell * max(1, len(head) - 1) + 6,
        height=top + step * len(rows) + 6,
        body=tuple(body),
        head=tuple(head),
        rows=tuple(tuple(v.replace("\n", "; ") for v in row) for row in rows),
    )
