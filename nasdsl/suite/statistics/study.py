"""Everything that is said about results by default, as values; how it is shown is not decided here.

The unit of analysis is the benchmark: seeds are averaged inside a cell, then settings, and neither
counts as a benchmark of its own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from nasdsl.suite.statistics import agreement
from nasdsl.suite.statistics import friedman as friedmans
from nasdsl.suite.statistics.agreement import Correlation
from nasdsl.suite.statistics.bootstrap import Interval, interval
from nasdsl.suite.statistics.friedman import Friedman
from nasdsl.suite.statistics.pairwise import Pair, holm, least_p, pairs
from nasdsl.suite.statistics.power import needed, smallest_n
from nasdsl.suite.statistics.ranks import average_ranks, block_ranks
from nasdsl.suite.statistics.results import (
    Layout,
    Results,
    StatisticsError,
    Summary,
    Values,
)
from nasdsl.suite.statistics.variance import Share, decomposition

#: Effects in deviations of the differences, for the table of how many benchmarks they need.
EFFECTS = (0.5, 0.8, 1.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """An optimizer on a benchmark: `seeds` are means over settings, `settings` means over seeds."""

    optimizer: str
    benchmark: str
    mean: float
    std: float | None
    over: str
    best: float
    interval: Interval | None
    seeds: tuple[float, ...]
    settings: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Two benchmarks: rank correlations of the optimizers, p of tau corrected over all pairs."""

    a: str
    b: str
    tau: Correlation
    rho: Correlation
    holm: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What results show. Parts that they do not allow are None or empty, `notes` say why."""

    results: Results
    layout: Layout
    cells: tuple[Cell, ...]
    ranks: tuple[tuple[str, float], ...]
    rank_table: Values
    friedman: Friedman | None
    concordance: float | None
    critical_difference: float | None
    cliques: tuple[tuple[str, ...], ...] | None
    pairs: tuple[Pair, ...]
    agreement: tuple[Agreement, ...]
    shares: tuple[Share, ...]
    least_p: float
    needed: tuple[tuple[float, int | None], ...]
    notes: tuple[str, ...]
    alpha: float

    def cell(self, optimizer: str, benchmark: str) -> Cell | None:
        for found in self.cells:
            if (found.optimizer, found.benchmark) == (optimizer, benchmark):
                return found
        return None


def study(results: Results, *, summary: Summary = "mean", alpha: float = 0.05) -> Study:
    """All statistics of results. `best` (of the settings) only for those who ask for it.

    Raises StatisticsError where there is nothing to compare.
    """
    layout = results.blocked("benchmark", summary)
    if layout.k == 0 or layout.n == 0:
        raise StatisticsError(
            "no benchmark has a result of every optimizer yet"
            if layout.k
            else "there are no results yet"
        )
    several = layout.k >= 3 and layout.n >= 2
    test = friedmans.friedman(layout) if several else None
    compared = pairs(layout) if layout.k >= 2 else ()
    shares: tuple[Share, ...] = ()
    notes = _notes(results, layout, alpha)
    try:
        shares = decomposition(results)
    except StatisticsError as error:
        notes.append(str(error))
    order = average_ranks(layout)
    return Study(
        results=results,
        layout=layout,
        cells=tuple(_cells(results)),
        ranks=tuple(zip(layout.optimizers, map(float, order), strict=True)),
        rank_table=block_ranks(layout),
        friedman=test,
        concordance=agreement.concordance(layout) if several else None,
        critical_difference=(
            friedmans.critical_difference(layout.k, layout.n, alpha) if several else None
        ),
        cliques=friedmans.cliques(layout, test, alpha=alpha) if test is not None else None,
        pairs=compared,
        agreement=_agreement(results, layout) if layout.k >= 3 else (),
        shares=shares,
        least_p=least_p(layout.n),
        needed=tuple((e, needed(e, alpha=alpha)) for e in EFFECTS),
        notes=tuple(notes),
        alpha=alpha,
    )


def _notes(results: Results, layout: Layout, alpha: float) -> list[str]:
    found = []
    seeds = {
        len(values)
        for o in results.optimizers
        for b in results.benchmarks
        for values in results.cell(o, b).values()
    }
    if seeds == {1}:
        found.append(
            "one seed per cell: how much a result changes from seed to seed cannot be told, and "
            "differences may be luck of the seed"
        )
    elif len(seeds) > 1:
        found.append(f"cells have between {min(seeds)} and {max(seeds)} seeds")
    if layout.dropped:
        found.append(f"left out, as an optimizer has no result there: {', '.join(layout.dropped)}")
    if layout.n < smallest_n(alpha):
        found.append(
            f"{layout.n} benchmark{'s' * (layout.n != 1)}: no pair of optimizers can differ "
            f"significantly (least p {least_p(layout.n):.3g}; {smallest_n(alpha)} are needed)"
        )
    if layout.summary == "best":
        found.append(
            "BEST OF THE SETTINGS, chosen by the test results themselves: too high for all, and "
            "higher the more a method varies"
        )
    return found


def _cells(results: Results) -> list[Cell]:
    made = []
    for b, o in itertools.product(results.benchmarks, results.optimizers):
        cell = results.cell(o, b)
        if not cell:
            continue
        means = [float(np.mean(v)) for v in cell.values()]
        # Seeds of a setting that lacks some are not told apart by place; then none are shown.
        count = {len(v) for v in cell.values()}
        seeds = (
            tuple(float(np.mean(column)) for column in zip(*cell.values(), strict=True))
            if len(count) == 1
            else ()
        )
        units, over = (means, "settings") if len(means) > 1 else (list(*cell.values()), "seeds")
        made.append(
            Cell(
                optimizer=o,
                benchmark=b,
                mean=float(np.mean(means)),
                std=float(np.std(units, ddof=1)) if len(units) > 1 else None,
                over=over,
                best=results.best(means),
                interval=interval(units, lambda x: float(x.mean()), over=over),
                seeds=seeds,
                settings=tuple(means),
            )
        )
    return made


def _agreement(results: Results, layout: Layout) -> tuple[Agreement, ...]:
    names = list(itertools.combinations(layout.blocks, 2))
    taus = [agreement.kendall(layout.at(a), layout.at(b)) for a, b in names]
    corrected = holm([t.p for t in taus])
    drawn = _drawn(results, layout)
    found = []
    for (a, b), t, p in zip(names, taus, corrected, strict=True):
        shown = None
        if drawn is not None:
            values, over = drawn
            i, j = layout.blocks.index(a), layout.blocks.index(b)
            known = values[:, i, j][np.isfinite(values[:, i, j])]
            if len(known):  # else all optimizers tie on a benchmark, and tau is undefined
                low, high = np.quantile(known, [0.025, 0.975])
                shown = Interval(low=float(low), high=float(high), level=0.95, over=over)
        rho = agreement.spearman(layout.at(a), layout.at(b))
        found.append(Agreement(a=a, b=b, tau=t, rho=rho, holm=p, interval=shown))
    return tuple(found)


def _drawn(results: Results, layout: Layout, times: int = 1000) -> tuple[Values, str] | None:
    """Tau between all blocks of resampled settings, or seeds; shape (times, blocks, blocks)."""
    cells = [[results.cell(o, b) for o in layout.optimizers] for b in layout.blocks]
    over = "settings" if len(results.settings) > 1 else "seeds"
    try:
        units = np.array(
            [
                [
                    [np.mean(v) for v in cell.values()]
                    if over == "settings"
                    else next(iter(cell.values()))
                    for cell in row
                ]
                for row in cells
            ],
            dtype=np.float64,
        )
    except ValueError:  # cells of different sizes
        return None
    if units.ndim != 3 or units.shape[2] < 3:
        return None
    n = units.shape[2]
    rng = np.random.default_rng(0)
    means = []
    for _ in range(times):
        part = units[:, :, rng.integers(0, n, n)]
        if layout.summary == "mean":
            means.append(part.mean(axis=2))
        else:
            means.append(part.max(axis=2) if results.higher else part.min(axis=2))
    x = np.array(means)
    upper = np.triu_indices(layout.k, 1)
    signs = np.sign(x[:, :, :, None] - x[:, :, None, :])[:, :, upper[0], upper[1]]
    untied = np.sqrt((signs != 0).sum(axis=2))
    with np.errstate(invalid="ignore", divide="ignore"):
        taus: Values = np.einsum("tip,tjp->tij", signs, signs) / (
            untied[:, :, None] * untied[:, None, :]
        )
    return taus, over
