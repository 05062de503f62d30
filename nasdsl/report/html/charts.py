"""Charts as SVG that takes its colours from the page around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = 10


def colour(i: int) -> str:
    return f"var(--c{i % COLOURS})"


def key(names: Sequence[str]) -> str:
    """Which colour is what."""
    spans = "".join(
        f'<span style="--k: {colour(i)}">{escape(n)}</span>' for i, n in enumerate(names)
    )
    return f'<div class="key">{spans}</div>'


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str = "",
    small: bool = False,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """Lines over epochs; each series is a list of (x, y), y that is no number is left out."""
    width, height = (280, 150) if small else (640, 260)
    left, right, top, bottom = 44, 8, 20 if title else 8, 22
    points = [p for s in series.values() for p in s if math.isfinite(p[1])]
    if not points:
        return ""
    x0, x1 = min(p[0] for p in points), max(p[0] for p in points)
    y0 = min(p[1] for p in points) if low is None else low
    y1 = max(p[1] for p in points) if high is None else high
    if y1 - y0 < 1e-12:
        y0, y1 = y0 - 0.5, y1 + 0.5

    def x(v: float) -> float:
        return left + (v - x0) / ((x1 - x0) or 1) * (width - left - right)

    def y(v: float) -> float:
        return height - bottom - (v - y0) / (y1 - y0) * (height - top - bottom)

    body = [_text(left, 13, title, anchor="start")] if title else []
    for tick, said in _marks(y0, y1, 3 if small else 5):
        body.append(f'<path class="axis" d="M {left} {y(tick):.1f} H {width - right}"/>')
        body.append(_text(left - 5, y(tick) + 4, said, anchor="end", soft=True))
    for value in {x0, x1}:
        anchor = "start" if value == x0 else "end"
        body.append(_text(x(value), height - 6, f"{value:g}", anchor=anchor, soft=True))
    for i, values in enumerate(series.values()):
        known = [(a, b) for a, b in values if math.isfinite(b)]
        if not known:
            continue
        path = " L ".join(f"{x(a):.1f} {y(b):.1f}" for a, b in known)
        body.append(
            f'<path d="M {path}" fill="none" style="stroke: {colour(i)}" stroke-width="1.8"/>'
        )
        if len(known) == 1:
            a, b = known[0]
            body.append(
                f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.5" style="fill: {colour(i)}"/>'
            )
    return _svg(width, height, body, title or "lines over epochs")


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round values between two."""
    raw = (high - low) / max(1, count)
    step = 10 ** math.floor(math.log10(raw))
    for factor in (1, 2, 5, 10):
        if step * factor >= raw:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def ranking(
    ranks: Sequence[tuple[str, float]],
    difference: float | None,
    groups: Sequence[Sequence[str]] | None,
) -> str:
    """A critical-difference diagram (Demsar 2006): the best rank left, bars join what is alike.

    Without groups (Friedman's test is not significant) no bars are drawn.
    """
    order = sorted(ranks, key=lambda r: r[1])
    k = len(order)
    width, left, right, top = 640, 150, 150, 46
    bars = list(groups or ())
    axis = top + 6

    def x(rank: float) -> float:
        return left + (rank - 1) / max(1, k - 1) * (width - left - right)

    body = [f'<path class="axis" d="M {x(1):.1f} {axis} H {x(k):.1f}"/>']
    for i in range(1, k + 1):
        body.append(f'<path class="axis" d="M {x(i):.1f} {axis - 5} V {axis + 1}"/>')
        body.append(_text(x(i), axis - 9, str(i), soft=True))
    if difference is not None and k > 1:
        end = min(x(k), x(1 + difference))
        body.append(
            f'<path d="M {x(1):.1f} 16 H {end:.1f} M {x(1):.1f} 12 V 20 M {end:.1f} 12 V 20" '
            'fill="none" style="stroke: var(--ink)" stroke-width="1.5"/>'
        )
        body.append(_text(end + 8, 20, f"CD {difference:.2f}", anchor="start", soft=True))
    below = axis + 12 + 9 * len(bars)
    half = (k + 1) // 2
    for i, (name, rank) in enumerate(order):
        on_left = i < half
        row = i if on_left else k - 1 - i
        y = below + 16 + 19 * row
        edge = left - 10 if on_left else width - right + 10
        body.append(
            f'<path d="M {x(rank):.1f} {axis} V {y:.1f} H {edge}" fill="none" '
            'style="stroke: var(--ink)" stroke-width="1"/>'
        )
        text = f"{name} {rank:.2f}" if on_left else f"{rank:.2f} {name}"
        side = -4 if on_left else 4
        body.append(_text(edge + side, y + 4, text, anchor="end" if on_left else "start"))
    known = dict(order)
    for i, group in enumerate(bars):
        y = axis + 10 + 9 * i
        a, b = x(known[group[0]]) - 4, x(known[group[-1]]) + 4
        body.append(
            f'<path d="M {a:.1f} {y} H {b:.1f}" style="stroke: var(--ink)" stroke-width="4" '
            'stroke-linecap="round"/>'
        )
    return _svg(width, below + 24 + 19 * half, body, "average ranks")


def spread(rows: Sequence[tuple[str, Sequence[float], float, tuple[float, float] | None]]) -> str:
    """A row per name: every value as a dot, the mean as a stroke, its interval as a bar."""
    values = [v for _, vs, *_ in rows for v in vs]
    values += [b for *_, i in rows if i is not None for b in i]
    if not values:
        return ""
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    width, left, right, step = 640, 170, 14, 22

    def x(v: float) -> float:
        return left + (v - low) / (high - low) * (width - left - right)

    body = []
    height = step * len(rows) + 26
    for tick, said in _marks(low, high, 5):
        body.append(f'<path class="axis" d="M {x(tick):.1f} 2 V {height - 22}"/>')
        body.append(_text(x(tick), height - 8, said, soft=True))
    for i, (name, dots, mean, bounds) in enumerate(rows):
        y = step * i + 13
        body.append(_text(left - 8, y + 4, name, anchor="end"))
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
    return _svg(width, height, body, "every value, mean and interval")


def shares(parts: Sequence[tuple[str, float]]) -> str:
    """Parts of a whole, in percent, as bars."""
    width, left, step = 640, 180, 22
    body = []
    for i, (name, value) in enumerate(parts):
        y = step * i + 4
        long = max(0.5, value / 100 * (width - left - 60))
        body.append(_text(left - 8, y + 12, name, anchor="end"))
        body.append(
            f'<rect x="{left}" y="{y}" width="{long:.1f}" height="15" style="fill: {colour(i)}"/>'
        )
        body.append(_text(left + long + 6, y + 12, f"{value:.1f} %", anchor="start", soft=True))
    return _svg(width, step * len(parts) + 8, body, "shares")


def scatter(
    points: Sequence[tuple[str, float, float]], *, across: str, up: str, higher: bool = True
) -> str:
    """Points by series, x logarithmic; what no other point beats in both is ringed."""
    known = [p for p in points if p[1] > 0 and math.isfinite(p[2])]
    if not known:
        return ""
    width, height, left, bottom = 640, 320, 50, 40
    x0, x1 = math.log10(min(p[1] for p in known)), math.log10(max(p[1] for p in known))
    y0, y1 = min(p[2] for p in known), max(p[2] for p in known)
    if y1 - y0 < 1e-9:
        y0, y1 = y0 - 0.5, y1 + 0.5

    def x(v: float) -> float:
        return left + 8 + (math.log10(v) - x0) / ((x1 - x0) or 1) * (width - left - 24)

    def y(v: float) -> float:
        return height - bottom - (v - y0) / (y1 - y0) * (height - bottom - 16)

    names = list(dict.fromkeys(p[0] for p in points))
    body = []
    for tick, said in _marks(y0, y1, 5):
        body.append(f'<path class="axis" d="M {left} {y(tick):.1f} H {width - 8}"/>')
        body.append(_text(left - 5, y(tick) + 4, said, anchor="end", soft=True))
    for value in sorted({min(p[1] for p in known), max(p[1] for p in known)}):
        anchor = "start" if x(value) < width / 2 else "end"
        body.append(_text(x(value), height - bottom + 16, _amount(value), anchor=anchor, soft=True))
    body.append(_text(width / 2, height - 6, across, soft=True))
    body.append(_text(4, 10, up, anchor="start", soft=True))
    sign = 1 if higher else -1
    for name, a, b in known:
        beaten = any(c <= a and sign * d >= sign * b and (c, d) != (a, b) for _, c, d in known)
        i = names.index(name)
        body.append(
            f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="4" fill-opacity=".8" '
            f'style="fill: {colour(i)}"/>'
        )
        if not beaten:
            body.append(
                f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="8" fill="none" '
                'style="stroke: var(--ink)" stroke-width="1.3"/>'
            )
    return _svg(width, height, body, f"{up} against {across}")


def _amount(value: float) -> str:
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _marks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """Round values with texts that tell them apart."""
    found = ticks(low, high, count)
    step = found[1] - found[0] if len(found) > 1 else high - low
    digits = max(0, math.ceil(-math.log10(step) - 1e-9)) if step < 1 else 0
    return [(v, f"{v:.{digits}f}" if abs(v) < 1e4 else _amount(v)) for v in found]


def _text(x: float, y: float, text: str, *, anchor: str = "middle", soft: bool = False) -> str:
    css = ' class="soft"' if soft else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{css}>{escape(text)}</text>'


def _svg(width: float, height: float, body: Sequence[str], title: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img">'
        f"<title>{escape(title)}</title>{''.join(body)}</svg>"
    )
