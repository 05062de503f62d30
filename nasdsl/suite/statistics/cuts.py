"""How means and rankings move with the cut of the data.

A cut has a share of the images for the search (the rest for retraining), or a share of those for
the weights (the rest for the alphas), and an order: shuffled, stratified, as in the files. A seed
of the order gives the cut once more with other images; it is the unit here, and its spread the
measure of what chance alone does. Search seeds and settings are averaged first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from nasdsl.suite.statistics.agreement import tau
from nasdsl.suite.statistics.distributions import t_quantile
from nasdsl.suite.statistics.paired import Bounds, interval
from nasdsl.suite.statistics.ranks import ranks
from nasdsl.suite.statistics.results import StatisticsError, Values

#: The cut that others are held against.
HALF = Fraction(1, 2)
#: Fewer seeds of an order give no interval that is worth the name.
SEEDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CutValue:
    """One value: `family` is `search` or `weights`, `share` of what, `order` of the images.

    `place` is what else it depends on (space, data set); `seed` that of the order.
    """

    optimizer: str
    place: str
    family: str
    share: Fraction
    order: str
    seed: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over seeds of the order, with Student's t interval over them; None of one seed."""

    mean: float
    bounds: Bounds | None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A cut with what was seen at it.

    `change` is the difference from the half cut of the same order, seed by seed; `tau` the rank
    correlation of the optimizers with those there, likewise; `noise` that of two seeds of this cut,
    the mean of all pairs: what a ranking agrees with itself. `ranks` are averages over places.
    """

    share: Fraction
    mean: Estimate
    optimizers: Mapping[str, Estimate]
    ranks: Mapping[str, float]
    change: Estimate | None
    tau: Estimate | None
    noise: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The cuts of a family in one order; `slope` is in units of the measure for 10 % more."""

    family: str
    order: str
    seeds: int
    cuts: tuple[Cut, ...]
    slope: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Two orders at the same cuts: the difference of means and tau of the rankings, by cut."""

    family: str
    first: str
    second: str
    cuts: tuple[tuple[Fraction, Estimate, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """All that some results say about cuts."""

    measure: str
    higher: bool
    optimizers: tuple[str, ...]
    places: tuple[str, ...]
    series: tuple[Series, ...]
    orders: tuple[Orders, ...]
    notes: tuple[str, ...]


def cuts(values: Sequence[CutValue], *, measure: str, higher: bool) -> Cuts:
    """How results move with the cut. Raises StatisticsError where all have the same one."""
    if len({(v.family, v.share, v.order) for v in values}) < 2:
        raise StatisticsError(
            "all results have one cut of the data; a suite of several `splits` is wanted "
            "(nasdsl suite run split_ratios)"
        )
    optimizers = tuple(dict.fromkeys(v.optimizer for v in values))
    places = tuple(dict.fromkeys(v.place for v in values))
    tables: dict[tuple[str, str], dict[Fraction, dict[str, Values]]] = {}
    lost: list[str] = []
    for family, order in dict.fromkeys((v.family, v.order) for v in values if v.share != HALF):
        # The half cut is one of both families.
        mine = [v for v in values if v.order == order and (v.family == family or v.share == HALF)]
        tables[family, order] = _tables(mine, optimizers, places, lost)
    for order in dict.fromkeys(v.order for v in values):
        if all(order != o for _, o in tables):
            mine = [v for v in values if v.order == order]
            tables["search", order] = _tables(mine, optimizers, places, lost)
    notes = [f"left out, as something is missing there: {text}" for text in dict.fromkeys(lost)]
    series = tuple(
        _series(family, order, table, optimizers, higher=higher)
        for (family, order), table in tables.items()
        if table
    )
    fewest = min((s.seeds for s in series), default=0)
    if fewest < SEEDS:
        notes.append(
            f"{fewest} seed{'s' * (fewest != 1)} of an order: {SEEDS} are needed for an interval"
        )
    return Cuts(
        measure=measure,
        higher=higher,
        optimizers=optimizers,
        places=places,
        series=series,
        orders=_orders(tables, higher=higher),
        notes=tuple(notes),
    )


def _tables(
    values: Sequence[CutValue],
    optimizers: Sequence[str],
    places: Sequence[str],
    lost: list[str],
) -> dict[Fraction, dict[str, Values]]:
    """By share and seed the values (places, optimizers); incomplete ones are lost."""
    cells: dict[tuple[Fraction, str, str, str], list[float]] = {}
    for v in values:
        cells.setdefault((v.share, v.seed, v.place, v.optimizer), []).append(v.value)
    made: dict[Fraction, dict[str, Values]] = {}
    for share, seed in sorted({(k[0], k[1]) for k in cells}):
        rows = [[cells.get((share, seed, p, o)) for o in optimizers] for p in places]
        if any(cell is None for row in rows for cell in row):
            lost.append(f"{float(100 * share):g} % with seed {seed or '-'}")
            continue
        table = np.array([[np.mean(cell or ()) for cell in row] for row in rows])
        made.setdefault(share, {})[seed] = table
    return made


def _series(
    family: str,
    order: str,
    table: Mapping[Fraction, Mapping[str, Values]],
    optimizers: Sequence[str],
    *,
    higher: bool,
) -> Series:
    base = table.get(HALF)
    made = []
    for share, by_seed in table.items():
        whole = np.array(list(by_seed.values()))  # (seeds, places, optimizers)
        shared = [] if base is None or share == HALF else [s for s in by_seed if s in base]
        orders = {s: _order(x, higher=higher) for s, x in by_seed.items()}
        changes = [float(by_seed[s].mean() - base[s].mean()) for s in shared if base is not None]
        taus = [
            t
            for s in shared
            if base is not None
            and math.isfinite(t := tau(orders[s], _order(base[s], higher=higher)))
        ]
        noise = [
            t
            for a, b in itertools.combinations(orders.values(), 2)
            if math.isfinite(t := tau(a, b))
        ]
        made.append(
            Cut(
                share=share,
                mean=estimate(whole.mean(axis=(1, 2))),
                optimizers={
                    o: estimate(whole[:, :, i].mean(axis=1)) for i, o in enumerate(optimizers)
                },
                ranks={
                    o: float(np.mean([r[i] for r in orders.values()]))
                    for i, o in enumerate(optimizers)
                },
                change=estimate(changes) if changes else None,
                tau=_within(estimate(taus)) if taus and len(optimizers) > 2 else None,
                noise=float(np.mean(noise)) if noise and len(optimizers) > 2 else None,
            )
        )
    return Series(
        family=family,
        order=order,
        seeds=min((len(by) for by in table.values()), default=0),
        cuts=tuple(made),
        slope=_slope(table),
    )


def _order(table: Values, *, higher: bool) -> Values:
    """Average ranks of the optimizers over places, 1 the best."""
    sign = -1.0 if higher else 1.0
    found: Values = np.array([ranks(sign * row) for row in table]).mean(axis=0)
    return found


def estimate(values: Sequence[float] | Values) -> Estimate:
    """The mean of some values with its interval."""
    x = np.asarray(values, dtype=np.float64)
    return Estimate(mean=float(x.mean()), bounds=interval(x), n=len(x))


def _within(of: Estimate) -> Estimate:
    """The estimate of a correlation: its interval lies in [-1, 1]."""
    if of.bounds is None:
        return of
    low, high = max(-1.0, of.bounds.low), min(1.0, of.bounds.high)
    return Estimate(mean=of.mean, bounds=Bounds(low=low, high=high), n=of.n)


def _slope(table: Mapping[Fraction, Mapping[str, Values]]) -> Estimate | None:
    """Least squares of the mean by the share, for each seed that every cut has."""
    shares = np.array([float(s) for s in table])
    if len(shares) < 3:
        return None
    common = set.intersection(*(set(by) for by in table.values()))
    found = []
    for seed in sorted(common):
        means = np.array([by[seed].mean() for by in table.values()])
        x = shares - shares.mean()
        found.append(float((x * (means - means.mean())).sum() / (x**2).sum()) / 10)
    return estimate(found) if found else None


def _orders(
    tables: Mapping[tuple[str, str], Mapping[Fraction, Mapping[str, Values]]], *, higher: bool
) -> tuple[Orders, ...]:
    made = []
    for (family, a), (other, b) in itertools.combinations(tables, 2):
        if family != other:
            continue
        first, second = tables[family, a], tables[other, b]
        rows = []
        for share in sorted(set(first) & set(second)):
            x, y = first[share], second[share]
            # Two orders of one seed are other images; seeds do not pair.
            difference = _unpaired([t.mean() for t in x.values()], [t.mean() for t in y.values()])
            orders = [
                np.mean([_order(t, higher=higher) for t in side.values()], axis=0)
                for side in (x, y)
            ]
            rows.append((share, difference, tau(orders[0], orders[1])))
        if rows:
            made.append(Orders(family=family, first=a, second=b, cuts=tuple(rows)))
    return tuple(made)


def _unpaired(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """The difference of two means; Welch's interval (1947) where both sides have a spread."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    mean = float(x.mean() - y.mean())
    if len(x) < 2 or len(y) < 2:
        return Estimate(mean=mean, bounds=None, n=min(len(x), len(y)))
    u, v = float(x.var(ddof=1)) / len(x), float(y.var(ddof=1)) / len(y)
    if u + v == 0:
        return Estimate(mean=mean, bounds=Bounds(low=mean, high=mean), n=min(len(x), len(y)))
    df = (u + v) ** 2 / (u**2 / (len(x) - 1) + v**2 / (len(y) - 1))
    half = t_quantile(0.975, df) * math.sqrt(u + v)
    return Estimate(
        mean=mean, bounds=Bounds(low=mean - half, high=mean + half), n=min(len(x), len(y))
    )
