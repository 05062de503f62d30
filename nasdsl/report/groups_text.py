"""Two groups of benchmarks against each other, as text of 80 columns and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nasdsl.report.columns import indent, table, wrap
from nasdsl.suite.statistics.groups import Comparison
from nasdsl.suite.statistics.paired import Bounds, Paired
from nasdsl.suite.statistics.power import smallest_n
from nasdsl.suite.statistics.verdict import short


def groups_report(found: Comparison) -> dict[str, Any]:
    """A comparison as plain data."""
    r = found.rankings
    return {
        "schema": 1,
        "groups": list(found.names),
        "measure": found.results.measure,
        "pairs": [list(p) for p in found.pairs],
        "unpaired": list(found.alone),
        "level": _paired(found.level),
        "spread": {**_paired(found.spread), "each": [list(s) for s in found.spreads]},
        "optimizers": [
            {
                "optimizer": o.name,
                "means": [o.first, o.second],
                "ranks": [o.rank_first, o.rank_second],
                "difference": _paired(o.difference),
                "holm": o.holm,
            }
            for o in found.optimizers
        ],
        "rankings": {
            "tau": _known(r.tau.coefficient),
            "tau_p": r.tau.p,
            "interval": _bounds(r.bounds),
            "inside": [_known(r.inside_first), _known(r.inside_second)],
            "across": _known(r.across),
            "p": r.p,
            "least_p": r.least,
            "verdict": r.said,
        },
    }


def groups_text(found: Comparison, width: int = 80) -> str:
    """A comparison as text."""
    parts = [
        _head(found, width),
        _level(found, width),
        _each(found, width),
        _spread(found, width),
        _ranks(found, width),
    ]
    return "\n\n".join("\n".join(p) for p in parts) + "\n"


def _head(found: Comparison, width: int) -> list[str]:
    r, (a, b) = found.results, found.names
    lines = wrap(
        f"{a} against {b}: {r.measure} ({'more' if r.higher else 'less'} is better) of "
        f"{len(r.optimizers)} optimizers on {len(found.pairs)} pairs of benchmarks",
        width=width,
    )
    lines += indent([f"{x}  :  {y}" for x, y in found.pairs])
    if found.alone:
        lines += wrap(
            f"without a like, so in the rankings only: {', '.join(found.alone)}",
            width=width,
            first="  ",
        )
    return lines


def _level(found: Comparison, width: int) -> list[str]:
    a, b = found.names
    said = f"do scores differ?  {a} minus {b}, mean over pairs, optimizer by optimizer"
    return [*wrap(said, width=width), *_answer(found.level, width)]


def _answer(of: Paired, width: int) -> list[str]:
    """A paired difference in full."""
    text = f"{of.mean:+.2f}"
    if of.bounds is not None:
        text += f"  (95 % {of.bounds.low:+.2f} to {of.bounds.high:+.2f}, Student's t)"
    facts = [
        ("difference", text),
        ("size", f"Hedges g {_amount(of.effect.hedges)}, Cliff delta {of.effect.cliff:+.2f}"),
        ("normal?", _normal(of)),
        ("test", f"{of.test}, n = {of.n} ({of.unit}s), p {short(of.p)}: {of.said}"),
        ("power", _power(of)),
    ]
    return [line for k, v in facts if v for line in wrap(v, width=width, first=f"  {k:<12}")]


def _normal(of: Paired) -> str:
    if of.normal_p is None:
        return "cannot be told" if of.n < 3 else "no spread"
    words = "normal for all that can be seen" if of.test == "paired t" else "not normal"
    return f"Shapiro-Wilk p {short(of.normal_p)}: {words}"


def _power(of: Paired) -> str:
    if math.isnan(of.power):
        return ""
    needed = "more than 1000" if of.needed is None else str(of.needed)
    return f"{of.power:.2f} for an effect of this size; .8 takes {needed} {of.unit}s"


def _each(found: Comparison, width: int) -> list[str]:
    a, b = found.names
    lines = [f"optimizer by optimizer: mean and average rank in {a} and {b}"]
    rows = []
    for o in found.optimizers:
        i = o.difference.bounds
        rows.append(
            [
                o.name,
                f"{o.first:.2f}",
                f"{o.second:.2f}",
                f"{o.difference.mean:+.2f}",
                "" if i is None else f"{i.low:+.2f} to {i.high:+.2f}",
                short(o.holm),
                f"{o.rank_first:.2f}",
                f"{o.rank_second:.2f}",
            ]
        )
    head = ["", a, b, "diff.", "95 %", "Holm", "rank", "rank"]
    lines += indent(table(rows, header=head, right=range(1, 8)))
    n = len(found.pairs)
    if n < smallest_n(found.alpha):
        lines += wrap(
            f"{n} pairs of benchmarks: no optimizer's difference can be significant "
            f"({smallest_n(found.alpha)} pairs are needed)",
            width=width,
            first="  ",
        )
    else:
        kept = [o.name for o in found.optimizers if o.holm <= found.alpha]
        lines += wrap(
            f"significant after Holm: {', '.join(kept) or 'none'}", width=width, first="  "
        )
    return lines


def _spread(found: Comparison, width: int) -> list[str]:
    a, b = found.names
    rows = [
        [f"{x}  :  {y}", f"{s:.2f}", f"{t:.2f}"]
        for (x, y), (s, t) in zip(found.pairs, found.spreads, strict=True)
    ]
    lines = wrap(
        f"are optimizers further apart?  standard deviation over optimizers, {a} minus {b}",
        width=width,
    )
    lines += indent(table(rows, header=["", a, b], right=(1, 2)))
    return lines + _answer(found.spread, width)


def _ranks(found: Comparison, width: int) -> list[str]:
    r, (a, b) = found.rankings, found.names
    tau = f"{r.tau.coefficient:+.2f} (p {short(r.tau.p)}, n = {r.tau.n} optimizers, {r.tau.how})"
    if r.bounds is not None:
        tau += f"; 95 % {r.bounds.low:+.2f} to {r.bounds.high:+.2f}, bootstrap over benchmarks"
    inside = ", ".join(
        f"inside {name} {value:+.2f}"
        for name, value in ((a, r.inside_first), (b, r.inside_second))
        if math.isfinite(value)
    )
    facts = [
        ("tau", tau),
        (
            "pairs",
            f"{inside + ', ' if inside else ''}across {r.across:+.2f} (mean tau of benchmarks)",
        ),
        (
            "apart?",
            f"labels exchanged: p {short(r.p)}: {r.said}"
            if math.isfinite(r.inside_first + r.inside_second)
            else "cannot be told: a group has one benchmark",
        ),
    ]
    said = f"do they rank alike?  Kendall's tau-b of the average ranks in {a} and {b}"
    return wrap(said, width=width) + [
        line for k, v in facts for line in wrap(v, width=width, first=f"  {k:<12}")
    ]


def _amount(value: float) -> str:
    return f"{value:+.2f}" if abs(value) < 1000 else "large"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _bounds(given: Bounds | None) -> Sequence[float] | None:
    return None if given is None else [given.low, given.high]


def _paired(of: Paired) -> dict[str, Any]:
    return {
        "unit": of.unit,
        "n": of.n,
        "mean": of.mean,
        "interval": _bounds(of.bounds),
        "hedges": _known(of.effect.hedges),
        "cliff": of.effect.cliff,
        "shapiro_p": of.normal_p,
        "t_p": None if of.t is None else of.t.p,
        "wilcoxon_p": of.wilcoxon.p,
        "test": of.test,
        "p": of.p,
        "verdict": of.said,
        "power": _known(of.power),
        "needed": of.needed,
    }
