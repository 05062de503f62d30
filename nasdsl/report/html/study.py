"""The statistics of a suite as sections of a page."""

from __future__ import annotations

from nasdsl.report.charts.bars import bars
from nasdsl.report.charts.ranking import ranking
from nasdsl.report.charts.spread import spread
from nasdsl.report.html import page
from nasdsl.report.html.parts import Beside, Figure, Folded, Part, Section, Table, figure
from nasdsl.report.suite_text import summary_name
from nasdsl.suite.statistics.paired import interval
from nasdsl.suite.statistics.pairwise import Pair
from nasdsl.suite.statistics.study import Study
from nasdsl.suite.statistics.verdict import short, verdict


def sections(study: Study) -> list[Part]:
    """Everything a study says, drawn."""
    return [
        *(page.note(n) for n in study.notes),
        _values(study),
        _ranks(study),
        _pairs(study),
        _agreement(study),
        _shares(study),
        _power(study),
    ]


def _values(study: Study) -> Section:
    r = study.results
    best = study.layout.summary == "best"
    rows: list[list[str]] = []
    shades: list[list[float | None]] = []
    for b in r.benchmarks:
        row: list[str] = [b]
        shade: list[float | None] = [None]
        cells = [study.cell(o, b) for o in r.optimizers]
        known = [(c.best if best else c.mean) for c in cells if c is not None]
        low, high = min(known), max(known)
        for c in cells:
            if c is None:
                row.append("-")
                shade.append(None)
                continue
            value = c.best if best else c.mean
            text = f"{value:.2f}"
            if not best:
                text += "" if c.std is None else f" ± {c.std:.2f}"
                i = c.interval
                text += "" if i is None else f"\n{i.low:.2f} to {i.high:.2f}"
            row.append(text)
            place = (value - low) / (high - low) if high > low else 0.5
            shade.append((2 * place - 1) * (1 if r.higher else -1))
        rows.append(row)
        shades.append(shade)
    over = next((c.interval.over for c in study.cells if c.interval is not None), None)
    said = f"{r.measure} ({'more' if r.higher else 'less'} is better), {summary_name(study)}" + (
        f"; ± is the standard deviation over {over}, below it the 95 % bootstrap interval of the "
        "mean"
        if over and not best
        else ""
    )
    drawn: list[Figure] = []
    for b in r.benchmarks:
        lines = []
        for o in r.optimizers:
            c = study.cell(o, b)
            if c is not None:
                several = [v for values in r.cell(o, b).values() for v in values]
                bounds = None if c.interval is None else (c.interval.low, c.interval.high)
                lines.append((o, several, c.mean, bounds))
        drawn += figure(f"values {b}", spread(lines, title=f"values on {b}"), b)
    return Section(
        "Results",
        [
            page.paragraph(said, soft=True),
            Table("results", rows, ["", *r.optimizers], shades),
            Folded("Every value of every benchmark", [Beside(drawn)]),
        ],
    )


def _ranks(study: Study) -> Section:
    layout = study.layout
    k = layout.k
    rows = [
        [b, *(f"{v:g}" for v in row)]
        for b, row in zip(layout.blocks, study.rank_table, strict=True)
    ]
    shades: list[list[float | None]] = [
        [None, *(1 - 2 * (float(v) - 1) / max(1, k - 1) for v in row)] for row in study.rank_table
    ]
    rows.append(["average", *(f"{v:.2f}" for _, v in study.ranks)])
    shades.append([None, *(1 - 2 * (v - 1) / max(1, k - 1) for _, v in study.ranks)])
    parts: list[Part] = [Table("ranks", rows, ["", *layout.optimizers], shades)]
    f = study.friedman
    if f is not None and study.concordance is not None:
        parts.append(
            page.facts(
                [
                    ("Friedman", f"χ²({f.k - 1}) = {f.chi2:.2f}, p {short(f.p)}"),
                    (
                        "Iman-Davenport",
                        f"F({f.k - 1}, {(f.k - 1) * (f.n - 1)}) = {f.f:.2f}, p {short(f.f_p)}",
                    ),
                    ("Kendall's W", f"{study.concordance:.3f} (0 no agreement, 1 full)"),
                ]
            )
        )
        if study.cliques is None:
            parts.append(
                page.note(
                    "Friedman's test is not significant: the diagram joins nobody, and no pair is "
                    "called different by Nemenyi's test."
                )
            )
        drawn = ranking(study.ranks, study.critical_difference, study.cliques)
        said = (
            f"Average ranks over {f.n} benchmarks; 1 is best. Thick lines join optimizers that "
            "Nemenyi's test does not tell apart; CD is its critical difference at "
            f"{study.alpha:g}."
            if study.cliques is not None
            else f"Average ranks over {f.n} benchmarks; 1 is best."
        )
        parts.append(Figure("critical difference", drawn, said))
    return Section("Ranks", parts)


def _pairs(study: Study) -> Section:
    if not study.pairs:
        return Section("Pairs of optimizers", [])
    rows = []
    for p in sorted(study.pairs, key=lambda p: p.wilcoxon.p):
        said = verdict(p.holm, n=study.layout.n, least=p.wilcoxon.least, alpha=study.alpha)
        rows.append(
            [
                f"{p.a} - {p.b}",
                f"{p.effect.mean:+.2f}{_within(study, p)}",
                f"{p.effect.hedges:+.2f}",
                f"{p.effect.cliff:+.2f}",
                short(p.wilcoxon.p),
                short(p.holm),
                said.partition(" (")[0],
            ]
        )
    words = verdict(1.0, n=study.layout.n, least=study.least_p, alpha=study.alpha)
    least = (
        f"Differences {words}."
        if words.startswith("cannot")
        else f"The least p that {study.layout.n} benchmarks can give is {short(study.least_p)}."
    )
    head = ["", "mean difference", "Hedges g", "Cliff δ", "Wilcoxon p", "after Holm", ""]
    return Section(
        "Pairs of optimizers",
        [
            page.paragraph(
                f"Exact Wilcoxon signed-rank tests over benchmarks, corrected by Holm. {least} "
                "Below a difference its 95 % interval (Student's t).",
                soft=True,
            ),
            Table("pairs", rows, head),
        ],
    )


def _within(study: Study, pair: Pair) -> str:
    """Student's t interval of a difference over benchmarks, as a second line."""
    found = interval(study.layout.of(pair.a) - study.layout.of(pair.b))
    return "" if found is None else f"\n{found.low:+.2f} to {found.high:+.2f}"


def _agreement(study: Study) -> Section:
    if not study.agreement:
        return Section("Do benchmarks agree?", [])
    blocks = study.layout.blocks
    letters = [str(i + 1) for i in range(len(blocks))]
    known = {(a.a, a.b): a.tau.coefficient for a in study.agreement}
    rows: list[list[str]] = []
    shades: list[list[float | None]] = []
    for i, b in enumerate(blocks):
        row: list[str] = [f"{letters[i]} {b}"]
        shade: list[float | None] = [None]
        for j, other in enumerate(blocks):
            pair = (b, other) if i < j else (other, b)
            value = None if i == j else known[pair]
            row.append("" if value is None else f"{value:+.2f}")
            shade.append(value)
        rows.append(row)
        shades.append(shade)
    values = list(known.values())
    raw = sum(a.tau.p <= study.alpha for a in study.agreement)
    kept = sum(a.holm <= study.alpha for a in study.agreement)
    ends = sorted(study.agreement, key=lambda a: a.tau.coefficient)
    body = []
    for a in ends if len(ends) <= 6 else [*ends[:3], *ends[-3:]]:
        drawn = a.interval
        body.append(
            [
                f"{a.a} : {a.b}",
                f"{a.tau.coefficient:+.2f}",
                short(a.tau.p),
                "" if drawn is None else f"{drawn.low:+.2f} to {drawn.high:+.2f}",
                f"{a.rho.coefficient:+.2f}",
                short(a.rho.p),
            ]
        )
    return Section(
        "Do benchmarks agree?",
        [
            page.paragraph(
                "Kendall's tau-b of the optimizers' order, benchmark by benchmark. Mean of "
                f"{len(values)} pair{'s' * (len(values) != 1)} {sum(values) / len(values):+.2f}; {raw} have p <= "
                f"{study.alpha:g} before correction, {kept} after Holm.",
                soft=True,
            ),
            Table("kendall", rows, ["", *letters], shades),
            Table("kendall ends", body, ["least and most alike", "tau", "p", "95 %", "rho", "p"]),
        ],
    )


def _shares(study: Study) -> Section:
    drawn = bars(
        [(s.source, s.percent) for s in study.shares], title="shares of the spread", what="percent"
    )
    said = "Shares of the total sum of squares of all values."
    return Section("Where the spread comes from", figure("spread", drawn, said))


def _power(study: Study) -> Section:
    rows = [
        [f"{e:g} standard deviations", "more than 1000" if n is None else str(n)]
        for e, n in study.needed
    ]
    return Section(
        "How many benchmarks would be needed",
        [
            page.paragraph(
                "For a pair of optimizers, to find a difference with power 0.8 (two-sided, "
                f"{study.alpha:g}, before any correction).",
                soft=True,
            ),
            Table("power", rows, ["difference", "benchmarks"]),
        ],
    )
