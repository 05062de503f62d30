"""How results move with the cut of the data, as text of 80 columns and as JSON."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from nasdsl.report.columns import indent, table, wrap
from nasdsl.suite.statistics.cuts import Cuts, Estimate, Orders, Series
from nasdsl.suite.statistics.paired import Bounds

FAMILIES = {
    "search": "images for the search : for retraining",
    "weights": "images of the search for the weights : for the alphas",
}


def share_text(share: Fraction) -> str:
    """`60/40`."""
    return f"{float(100 * share):g}/{float(100 * (1 - share)):g}"


def cuts_report(found: Cuts) -> dict[str, Any]:
    """Cuts as plain data."""
    return {
        "schema": 1,
        "measure": found.measure,
        "optimizers": list(found.optimizers),
        "places": list(found.places),
        "notes": list(found.notes),
        "series": [
            {
                "family": s.family,
                "order": s.order,
                "seeds": s.seeds,
                "slope_per_10_percent": _estimate(s.slope),
                "cuts": [
                    {
                        "share": float(c.share),
                        "mean": _estimate(c.mean),
                        "optimizers": {o: _estimate(e) for o, e in c.optimizers.items()},
                        "ranks": dict(c.ranks),
                        "change": _estimate(c.change),
                        "tau": _estimate(c.tau),
                        "tau_between_seeds": c.noise,
                    }
                    for c in s.cuts
                ],
            }
            for s in found.series
        ],
        "orders": [
            {
                "family": o.family,
                "orders": [o.first, o.second],
                "cuts": [
                    {
                        "share": float(share),
                        "difference": _estimate(difference),
                        "tau": t if math.isfinite(t) else None,
                    }
                    for share, difference, t in o.cuts
                ],
            }
            for o in found.orders
        ],
    }


def cuts_text(found: Cuts, width: int = 80) -> str:
    """Cuts as text."""
    head = wrap(
        f"{found.measure} ({'more' if found.higher else 'less'} is better) of "
        f"{len(found.optimizers)} optimizers on {', '.join(found.places)}, by the cut of the data",
        width=width,
    )
    head += [line for note in found.notes for line in wrap(note, width=width, first="note: ")]
    parts = [head, *(_series(s, width) for s in found.series)]
    parts += [_orders(o, width) for o in found.orders]
    parts.append(
        wrap(
            "+- and intervals are 95 %: Student's t over seeds of the order, which rests on their being normal; "
            "tau: Kendall's tau-b with the ranking at 50/50, seed by seed; of seeds: of the "
            "rankings of two seeds at the same cut, what a ranking agrees with itself",
            width=width,
        )
    )
    return "\n\n".join("\n".join(p) for p in parts) + "\n"


def _series(s: Series, width: int) -> list[str]:
    what = FAMILIES.get(s.family, s.family)
    lines = [f"{what}, {s.order}, {s.seeds} seed{'s' * (s.seeds != 1)}"]
    rows = [
        [
            share_text(c.share),
            f"{c.mean.mean:.2f}{_half(c.mean)}",
            "" if c.change is None else f"{c.change.mean:+.2f}{_half(c.change)}",
            "" if c.tau is None else f"{c.tau.mean:+.2f}",
            "" if c.tau is None else bounds_text(c.tau.bounds, signed=True),
            "" if c.noise is None else f"{c.noise:+.2f}",
        ]
        for c in s.cuts
    ]
    head = ["", "mean", "change", "tau", "95 %", "of seeds"]
    lines += indent(table(rows, header=head, right=range(1, 6)))
    if s.slope is not None:
        text = f"{s.slope.mean:+.2f} for 10 % more"
        if s.slope.bounds is not None:
            zero = s.slope.bounds.low <= 0 <= s.slope.bounds.high
            text += f" (95 % {bounds_text(s.slope.bounds, signed=True)}: " + (
                "no trend is shown)" if zero else "a trend)"
            )
        lines += wrap(text, width=width, first="  trend  ")
    body = [
        [
            o,
            *(f"{c.optimizers[o].mean:.2f} ({c.ranks[o]:.1f})" for c in s.cuts),
        ]
        for o in s.cuts[0].optimizers
    ]
    lines.append("  mean (average rank) of each optimizer")
    shares = [share_text(c.share) for c in s.cuts]
    return lines + indent(table(body, header=["", *shares], right=range(1, len(shares) + 1)))


def _half(of: Estimate) -> str:
    """Half of an interval, which is even on both sides."""
    return "" if of.bounds is None else f" +-{(of.bounds.high - of.bounds.low) / 2:.2f}"


def _orders(o: Orders, width: int) -> list[str]:
    lines = wrap(f"{o.first} minus {o.second}, {FAMILIES.get(o.family, o.family)}", width=width)
    rows = [
        [
            share_text(share),
            f"{difference.mean:+.2f}",
            bounds_text(difference.bounds, signed=True),
            f"{t:+.2f}" if math.isfinite(t) else "",
        ]
        for share, difference, t in o.cuts
    ]
    return lines + indent(table(rows, header=["", "diff.", "95 %", "tau"], right=(1, 2, 3)))


def bounds_text(bounds: Bounds | None, *, signed: bool = False) -> str:
    """`-0.20 to 0.31`, or nothing."""
    if bounds is None:
        return ""
    form = "+.2f" if signed else ".2f"
    return f"{bounds.low:{form}} to {bounds.high:{form}}"


def _estimate(of: Estimate | None) -> dict[str, Any] | None:
    if of is None:
        return None
    interval = None if of.bounds is None else [of.bounds.low, of.bounds.high]
    return {"mean": of.mean, "interval": interval, "seeds": of.n}
