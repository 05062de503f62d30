"""The statistics of a suite as text of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nasdsl.report.columns import indent, table, wrap
from nasdsl.suite.statistics.study import Study
from nasdsl.suite.statistics.verdict import short, verdict


def study_text(study: Study, width: int = 80) -> str:
    """Everything a study says."""
    parts = [
        _head(study, width),
        _notes(study, width),
        _values(study, width),
        _seeds(study, width),
        _ranks(study, width),
        _overall(study, width),
        _pairs(study, width),
        _agreement(study, width),
        _shares(study, width),
        _power(study, width),
    ]
    return "\n\n".join("\n".join(p) for p in parts if p) + "\n"


def summary_name(study: Study) -> str:
    """What stands for a cell, in words."""
    r = study.results
    if study.layout.summary == "best":
        return f"best of {len(r.settings)} settings"
    return "mean"


def _head(study: Study, width: int) -> list[str]:
    r = study.results
    what = (
        f"{len(r.rows)} values of {r.measure} ({'more' if r.higher else 'less'} is better): "
        f"{len(r.optimizers)} optimizers on {len(r.benchmarks)} benchmarks, "
        f"{len(r.settings)} setting{'s' * (len(r.settings) != 1)}, "
        f"{len(r.seeds)} seed{'s' * (len(r.seeds) != 1)}; cells by {summary_name(study)}"
    )
    return wrap(what, width=width)


def _notes(study: Study, width: int) -> list[str]:
    return [line for note in study.notes for line in wrap(note, width=width, first="note: ")]


def _values(study: Study, width: int) -> list[str]:
    r = study.results
    best = study.layout.summary == "best"
    over = next((c.over for c in study.cells if c.std is not None), None)
    drawn = any(c.interval is not None for c in study.cells)
    lines = wrap(
        f"best of {len(r.settings)} settings"
        if best
        else "mean"
        + (f" +- standard deviation over {over}" if over else "")
        + (", and 95 % bootstrap interval of the mean" if drawn else ""),
        width=width,
    )
    rows = []
    for b in r.benchmarks:
        row, below = [b], [""]
        for o in r.optimizers:
            cell = study.cell(o, b)
            if cell is None:
                row.append("-")
                below.append("")
            elif best:
                row.append(f"{cell.best:.2f}")
                below.append("")
            else:
                row.append(f"{cell.mean:.2f}" + ("" if cell.std is None else f" +-{cell.std:.2f}"))
                i = cell.interval
                below.append("" if i is None else f"[{i.low:.2f}, {i.high:.2f}]")
        rows.append(row)
        if any(below):
            rows.append(below)
    return lines + _chunked(rows, ["", *r.optimizers], width)


def _seeds(study: Study, width: int) -> list[str]:
    if all(len(c.seeds) < 2 for c in study.cells):
        return []
    lines = ["every seed (mean over settings)"]
    rows = [[c.benchmark, c.optimizer, " ".join(f"{v:.2f}" for v in c.seeds)] for c in study.cells]
    left = max(len(r[0]) for r in rows) + 2
    middle = max(len(r[1]) for r in rows) + 2
    for b, o, values in rows:
        lines += wrap(values, width=width, first=f"  {b:<{left}}{o:<{middle}}")
    return lines


def _ranks(study: Study, width: int) -> list[str]:
    lines = [f"ranks by {summary_name(study)} (1 is best), and their average"]
    rows = [
        [b, *(f"{v:g}" for v in row)]
        for b, row in zip(study.layout.blocks, study.rank_table, strict=True)
    ]
    rows.append(["average", *(f"{v:.2f}" for _, v in study.ranks)])
    return lines + _chunked(rows, ["", *study.layout.optimizers], width)


def _overall(study: Study, width: int) -> list[str]:
    f = study.friedman
    if f is None or study.concordance is None or study.critical_difference is None:
        return []
    lines = [f"do optimizers differ?  ({f.k} optimizers as treatments, {f.n} benchmarks as blocks)"]
    lines += [
        f"  Friedman        chi2({f.k - 1}) = {f.chi2:.2f}, p {short(f.p)}",
        f"  Iman-Davenport  F({f.k - 1}, {(f.k - 1) * (f.n - 1)}) = {f.f:.2f}, p {short(f.f_p)}",
        f"  Kendall's W     {study.concordance:.3f}  (0 no agreement of benchmarks, 1 full)",
        f"  Nemenyi         critical difference {study.critical_difference:.3f} at {study.alpha:g}",
    ]
    if study.cliques is None:
        lines += wrap(
            "Friedman's test is not significant: no groups are formed, and no pair is called "
            "different by Nemenyi's test",
            width=width,
            first="  ",
        )
    else:
        ranked = dict(study.ranks)
        for group in study.cliques:
            lines += wrap(", ".join(group), width=width, first="  not told apart  ")
        beyond = [
            f"{a}-{b} {abs(ranked[a] - ranked[b]):.2f}"
            for i, a in enumerate(study.layout.optimizers)
            for b in study.layout.optimizers[i + 1 :]
            if abs(ranked[a] - ranked[b]) > study.critical_difference
        ]
        lines += wrap(", ".join(beyond) or "none", width=width, first="  told apart      ")
    return lines


def _pairs(study: Study, width: int) -> list[str]:
    if not study.pairs:
        return []
    n, raw = study.layout.n, sum(p.wilcoxon.p <= study.alpha for p in study.pairs)
    kept = sum(_significant(study, p.holm, p.wilcoxon.least) for p in study.pairs)
    lines = ["pairs over benchmarks: exact Wilcoxon signed-rank, Holm; least p first"]
    names = {o: o for o in study.layout.optimizers}
    if max(len(p.a) + len(p.b) for p in study.pairs) > 26:  # too wide for a line: letters
        names = {o: _letter(i) for i, o in enumerate(study.layout.optimizers)}
        lines += [f"  {letter} {o}" for o, letter in names.items()]
    rows = []
    for p in sorted(study.pairs, key=lambda p: p.wilcoxon.p):
        t = p.t
        normal = t is not None and t.normal_p is not None and t.normal_p > 0.05
        rows.append(
            [
                f"{names[p.a]} - {names[p.b]}",
                f"{p.effect.mean:+.2f}",
                _finite(p.effect.hedges),
                f"{p.effect.cliff:+.2f}",
                short(p.wilcoxon.p),
                short(p.holm),
                short(t.p) if t is not None and normal else "",
            ]
        )
    head = ["", "mean diff", "Hedges g", "Cliff", "p", "Holm", "paired t"]
    lines += indent(table(rows, header=head, right=range(1, 7)))
    words = verdict(1.0, n=n, least=study.least_p, alpha=study.alpha)
    if words.startswith("cannot"):
        lines += wrap(f"differences {words}", width=width, first="  ")
    else:
        count = len(study.pairs)
        lines += wrap(
            f"{raw} of {count} pairs have p <= {study.alpha:g} before correction, {kept} of "
            f"{count} after Holm; least p that n = {n} can give: {short(study.least_p)}; "
            "paired t only where differences look normal (Shapiro-Wilk p > .05)",
            width=width,
            first="  ",
        )
    return lines


def _significant(study: Study, p: float, least: float) -> bool:
    return verdict(p, n=study.layout.n, least=least, alpha=study.alpha) == "significant"


def _finite(value: float) -> str:
    return f"{value:+.2f}" if abs(value) < 1000 else "large"


def _agreement(study: Study, width: int) -> list[str]:
    if not study.agreement:
        return []
    blocks = study.layout.blocks
    letters = [_letter(i) for i in range(len(blocks))]
    known = {(a.a, a.b): a for a in study.agreement}
    rows = []
    for i, b in enumerate(blocks):
        row = [f"{letters[i]} {b}"]
        for j, other in enumerate(blocks):
            row.append(_signed(known[b, other].tau.coefficient) if j > i else "" if j < i else "1")
        rows.append(row)
    lines = ["do benchmarks agree?  Kendall's tau-b of the optimizers, benchmark by benchmark"]
    lines += _chunked(rows, ["", *letters], width)
    values = [a.tau.coefficient for a in study.agreement]
    raw = sum(a.tau.p <= study.alpha for a in study.agreement)
    kept = sum(a.holm <= study.alpha for a in study.agreement)
    lines += wrap(
        f"mean of the {len(values)} pairs {sum(values) / len(values):+.2f}; {raw} have "
        f"p <= {study.alpha:g} before correction, {kept} after Holm",
        width=width,
        first="  ",
    )
    extremes = sorted(study.agreement, key=lambda a: a.tau.coefficient)
    lines.append("least and most alike, by the letters above")
    shown = extremes if len(extremes) <= 6 else [*extremes[:3], *extremes[-3:]]
    body = []
    for a in shown:
        drawn = a.interval
        body.append(
            [
                f"{letters[blocks.index(a.a)]} : {letters[blocks.index(a.b)]}",
                _signed(a.tau.coefficient),
                short(a.tau.p),
                "" if drawn is None else f"[{_signed(drawn.low)}, {_signed(drawn.high)}]",
                _signed(a.rho.coefficient),
                short(a.rho.p),
            ]
        )
    over = next((a.interval.over for a in shown if a.interval is not None), "")
    head = ["", "tau", "p", "95 %", "rho", "p"]
    lines += indent(table(body, header=head, right=range(1, 6)))
    if over:
        lines += wrap(
            f"intervals: bootstrap over {over}; they hold for these optimizers only",
            width=width,
            first="  ",
        )
    return lines


def _letter(i: int) -> str:
    return chr(ord("a") + i) if i < 26 else f"z{i}"


def _signed(value: float) -> str:
    """`-.52`, `+.71`."""
    return f"{value:+.2f}".replace("0.", ".", 1)


def _shares(study: Study, width: int) -> list[str]:
    if not study.shares:
        return []
    lines = ["where the spread comes from (share of the sum of squares)"]
    rows = [[s.source, f"{s.percent:.1f} %", f"df {s.df}"] for s in study.shares]
    return lines + indent(table(rows, right=(1, 2)))


def _power(study: Study, width: int) -> list[str]:
    lines = [f"benchmarks that a pair needs  (power .8, two-sided {study.alpha:g}, uncorrected)"]
    rows = [
        [f"difference of {e:g} standard deviations", "more than 1000" if n is None else str(n)]
        for e, n in study.needed
    ]
    return lines + indent(table(rows, right=(1,)))


def _chunked(rows: Sequence[Sequence[str]], head: Sequence[str], width: int) -> list[str]:
    """A table in as many pieces as its columns need; the first column stands in all of them."""
    left = max(len(r[0]) for r in [head, *rows]) + 2
    pieces: list[list[int]] = [[]]
    used = left
    for i in range(1, len(head)):
        wide = max(len(r[i]) for r in [head, *rows]) + 2
        if pieces[-1] and used + wide > width - 2:
            pieces.append([])
            used = left
        pieces[-1].append(i)
        used += wide
    lines: list[str] = []
    for piece in pieces:
        body = [[r[0], *(r[i] for i in piece)] for r in rows]
        shown: Iterable[str] = table(
            body, header=[head[0], *(head[i] for i in piece)], right=range(1, len(piece) + 1)
        )
        lines += indent(shown)
    return lines
