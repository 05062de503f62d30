"""The critical-difference diagram."""

from __future__ import annotations

from collections.abc import Sequence

from nasdsl.report.charts.chart import WIDTH, Chart, fitted, gutter, text

_INK = 'style="stroke: var(--ink)"'


def ranking(
    ranks: Sequence[tuple[str, float]],
    difference: float | None,
    groups: Sequence[Sequence[str]] | None,
) -> Chart:
    """A critical-difference diagram (Demsar 2006): the best rank left, bars join what is alike.

    Without groups (Friedman's test is not significant) no bars are drawn.
    """
    order = sorted(ranks, key=lambda r: r[1])
    k = len(order)
    # Room for names on both sides; a rank of one and of k lie at the ends of the axis.
    width, top = WIDTH, 46.0
    side = gutter([name for name, _ in order], most=WIDTH * 0.28) + 42
    bars = list(groups or ())
    axis = top + 6

    def x(rank: float) -> float:
        return side + (rank - 1) / max(1, k - 1) * (width - 2 * side)

    body = [f'<path class="axis" d="M {x(1):.1f} {axis} H {x(k):.1f}"/>']
    for i in range(1, k + 1):
        body.append(f'<path class="axis" d="M {x(i):.1f} {axis - 5} V {axis + 1}"/>')
        body.append(text(x(i), axis - 9, str(i), soft=True))
    if difference is not None and k > 1:
        end = min(x(k), x(1 + difference))
        body.append(
            f'<path d="M {x(1):.1f} 16 H {end:.1f} M {x(1):.1f} 12 V 20 M {end:.1f} 12 V 20" '
            f'fill="none" {_INK} stroke-width="1.5"/>'
        )
        body.append(text(end + 8, 20, f"CD {difference:.2f}", anchor="start", soft=True))
    below = axis + 12 + 9 * len(bars)
    half = (k + 1) // 2
    for i, (name, rank) in enumerate(order):
        on_left = i < half
        row = i if on_left else k - 1 - i
        y = below + 16 + 19 * row
        edge = side - 10 if on_left else width - side + 10
        body.append(
            f'<path d="M {x(rank):.1f} {axis} V {y:.1f} H {edge}" fill="none" {_INK} '
            'stroke-width="1"/>'
        )
        said = fitted(name, side - 50)
        shown = f"{said} {rank:.2f}" if on_left else f"{rank:.2f} {said}"
        near = -4 if on_left else 4
        body.append(text(edge + near, y + 4, shown, anchor="end" if on_left else "start"))
    known = dict(order)
    for i, group in enumerate(bars):
        y = axis + 10 + 9 * i
        a, b = x(known[group[0]]) - 4, x(known[group[-1]]) + 4
        body.append(
            f'<path d="M {a:.1f} {y} H {b:.1f}" {_INK} stroke-width="4" stroke-linecap="round"/>'
        )
    return Chart(
        title="critical-difference diagram",
        width=width,
        height=below + 24 + 19 * half,
        body=tuple(body),
        head=("optimizer", "average rank", "groups"),
        rows=tuple(
            (name, rank, " ".join(str(i + 1) for i, g in enumerate(bars) if name in g))
            for name, rank in order
        ),
    )
