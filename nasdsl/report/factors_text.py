"""Levels of a factor beside each other, as text of 80 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nasdsl.report.columns import indent, table, wrap
from nasdsl.suite.statistics.factors import Factor, Pair
from nasdsl.suite.statistics.verdict import short

#: Levels whose means stand as columns; of more there are the pairs only.
COLUMNS = 6
#: Pairs that are shown; of more, the least and the most alike.
PAIRS = 10


def factors_text(found: Sequence[Factor], width: int = 80) -> str:
    """All that was asked for `by`."""
    return "\n\n".join("\n".join(_factor(f, width)) for f in found) + "\n"


def _factor(of: Factor, width: int) -> list[str]:
    lines = wrap(f"by {of.title}: {len(of.levels)} levels", width=width)
    if len(of.levels) <= COLUMNS:
        rows = [[item, *(f"{v:.2f}" for v in values)] for item, values in of.means.items()]
        head = ["mean", *of.levels]
        if rows and len(head[0]) + sum(len(h) + 2 for h in head) < width - 10:
            lines += indent(table(rows, header=head, right=range(1, len(head))))
        else:
            for item, values in of.means.items():
                said = ", ".join(f"{lv} {v:.2f}" for lv, v in zip(of.levels, values, strict=True))
                lines += wrap(said, width=width, first=f"  {item}  ")
    for note in of.notes:
        lines += wrap(note, width=width, first="  note: ")
    if not of.pairs:
        return lines
    ordered = sorted(of.pairs, key=lambda p: (math.isnan(p.tau), p.tau))
    shown = ordered if len(ordered) <= PAIRS else [*ordered[:3], *ordered[-3:]]
    first = of.pairs[0]
    known = [p.tau for p in of.pairs if math.isfinite(p.tau)]
    if known:
        lines += wrap(
            f"rank correlation of {first.items} items in {first.blocks} "
            f"block{'s' * (first.blocks != 1)}: mean tau of {len(known)} pairs of levels "
            f"{sum(known) / len(known):+.2f}"
            + ("" if len(shown) == len(ordered) else "; the least and the most alike:"),
            width=width,
            first="  ",
        )
    head = ["", "tau", "95 %" if first.p is None else "p", "rho"]
    if of.k is not None:
        head.append(f"best {of.k}")
    rows = [[f"{p.a} : {p.b}", *_numbers(p, of.k)] for p in shown]
    return lines + indent(table(rows, header=head, right=range(1, len(head))))


def _numbers(p: Pair, k: int | None) -> list[str]:
    if p.p is not None:
        certain = short(p.p)
    elif p.bounds is not None:
        certain = f"{p.bounds.low:+.2f} to {p.bounds.high:+.2f}"
    else:
        certain = ""
    found = [f"{p.tau:+.2f}", certain, f"{p.rho:+.2f}"]
    if k is not None:
        found.append("" if p.overlap is None else f"{100 * p.overlap:.0f} %")
    return found
