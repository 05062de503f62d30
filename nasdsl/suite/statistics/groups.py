"""Two groups of benchmarks against each other: wide and deep cells, for instance.

Benchmarks of the groups are paired by what else their names say (`wide_no_skip` with
`deep_no_skip`). Four questions, each with the unit it is about: do scores differ (unit: optimizer),
does each optimizer differ (unit: pair of benchmarks), are optimizers further apart in one group
(unit: pair), do the groups rank optimizers differently (unit: benchmark, by exchanging labels).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from nasdsl.suite.statistics.agreement import Correlation, between, kendall
from nasdsl.suite.statistics.paired import Bounds, Paired, paired
from nasdsl.suite.statistics.pairwise import holm
from nasdsl.suite.statistics.ranks import block_ranks
from nasdsl.suite.statistics.results import Layout, Results, StatisticsError, Summary, Values
from nasdsl.suite.statistics.verdict import short

#: Labels are exchanged in all ways up to so many, else in as many random ones.
EXCHANGES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOptimizer:
    """An optimizer in both groups; `holm` is its p corrected over all optimizers."""

    name: str
    first: float
    second: float
    rank_first: float
    rank_second: float
    difference: Paired
    holm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rankings:
    """Whether benchmarks of a group rank alike, and the groups differently.

    `tau` is of the groups' average ranks, `bounds` its bootstrap interval over benchmarks. The
    three means are of Kendall's tau over pairs of benchmarks inside the first, inside the second,
    and across; `p` that of as large a difference (inside minus across) when labels are exchanged,
    `least` the smallest that so few benchmarks can give.
    """

    tau: Correlation
    bounds: Bounds | None
    inside_first: float
    inside_second: float
    across: float
    p: float
    least: float
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two groups of benchmarks show."""

    names: tuple[str, str]
    results: Results
    layout: Layout
    pairs: tuple[tuple[str, str], ...]
    alone: tuple[str, ...]
    level: Paired
    spread: Paired
    spreads: tuple[tuple[float, float], ...]
    optimizers: tuple[OneOptimizer, ...]
    rankings: Rankings
    alpha: float


def compare(
    results: Results,
    first: str,
    second: str,
    *,
    summary: Summary = "mean",
    alpha: float = 0.05,
) -> Comparison:
    """Groups by patterns of names, as `wide*` and `deep*`.

    Raises StatisticsError where a group is empty, nothing is paired, or there are fewer than two
    optimizers.
    """
    layout = results.blocked("benchmark", summary)
    members = [_members(layout, pattern) for pattern in (first, second)]
    both = set(members[0]) & set(members[1])
    if both:
        raise StatisticsError(f"`{min(both)}` is in both groups")
    if layout.k < 2:
        raise StatisticsError("two optimizers are needed at least")
    names = _word(first), _word(second)
    pairs = _pairs(members, names)
    if not pairs:
        raise StatisticsError(
            f"no benchmark of `{first}` has its like in `{second}`: names have to agree but for "
            f"`{names[0]}` and `{names[1]}`"
        )
    paired_up = {b for pair in pairs for b in pair}
    left = np.array([layout.at(a) for a, _ in pairs])  # (pairs, optimizers)
    right = np.array([layout.at(b) for _, b in pairs])
    spreads = [
        (float(x.std(ddof=1)), float(y.std(ddof=1))) for x, y in zip(left, right, strict=True)
    ]
    return Comparison(
        names=names,
        results=results,
        layout=layout,
        pairs=tuple(pairs),
        alone=tuple(b for of in members for b in of if b not in paired_up),
        level=paired(left.mean(axis=0), right.mean(axis=0), unit="optimizer", alpha=alpha),
        spread=paired(
            [a for a, _ in spreads], [b for _, b in spreads], unit="benchmark pair", alpha=alpha
        ),
        spreads=tuple(spreads),
        optimizers=_optimizers(layout, members, left, right, alpha),
        rankings=_rankings(layout, members, alpha),
        alpha=alpha,
    )


def _members(layout: Layout, pattern: str) -> list[str]:
    found = [b for b in layout.blocks if fnmatchcase(b, pattern)]
    if not found:
        raise StatisticsError(
            f"no benchmark is called `{pattern}`; there are {', '.join(layout.blocks) or 'none'}"
        )
    return found


def _word(pattern: str) -> str:
    return pattern.replace("*", "").replace("?", "") or pattern


def _pairs(members: Sequence[Sequence[str]], names: tuple[str, str]) -> list[tuple[str, str]]:
    """Benchmarks that are called the same but for the group and for what stands in parentheses."""
    keys = [
        {re.sub(r"\([^)]*\)", "", b).replace(name, "", 1).strip(): b for b in of}
        for of, name in zip(members, names, strict=True)
    ]
    return [(b, keys[1][key]) for key, b in keys[0].items() if key in keys[1]]


def _optimizers(
    layout: Layout, members: Sequence[Sequence[str]], left: Values, right: Values, alpha: float
) -> tuple[OneOptimizer, ...]:
    ranked = block_ranks(layout)
    rows = [[layout.blocks.index(b) for b in of] for of in members]
    made = [
        paired(left[:, i], right[:, i], unit="benchmark pair", alpha=alpha) for i in range(layout.k)
    ]
    corrected = holm([d.p for d in made])
    return tuple(
        OneOptimizer(
            name=name,
            first=float(left[:, i].mean()),
            second=float(right[:, i].mean()),
            rank_first=float(ranked[rows[0], i].mean()),
            rank_second=float(ranked[rows[1], i].mean()),
            difference=made[i],
            holm=corrected[i],
        )
        for i, name in enumerate(layout.optimizers)
    )


def _rankings(layout: Layout, members: Sequence[Sequence[str]], alpha: float) -> Rankings:
    rows = [np.array([layout.blocks.index(b) for b in of]) for of in members]
    ranked = block_ranks(layout)
    taus = between(layout)
    both = np.concatenate(rows)
    p, least = _exchanged(taus, both, len(rows[0]))
    if least > alpha:
        said = (
            f"cannot be significant ({len(rows[0])} and {len(rows[1])} benchmarks give "
            f"p >= {short(least)})"
        )
    else:
        said = "significant" if p <= alpha else "not significant"
    return Rankings(
        tau=kendall(ranked[rows[0]].mean(axis=0), ranked[rows[1]].mean(axis=0)),
        bounds=_drawn(ranked, rows),
        inside_first=_inside(taus, rows[0]),
        inside_second=_inside(taus, rows[1]),
        across=float(np.nanmean(taus[np.ix_(rows[0], rows[1])])),
        p=p,
        least=least,
        said=said,
    )


def _inside(taus: Values, rows: Values) -> float:
    if len(rows) < 2:
        return math.nan
    upper = np.triu_indices(len(rows), 1)
    return float(np.nanmean(taus[np.ix_(rows, rows)][upper]))


def _gap(taus: Values, a: Values, b: Values) -> float:
    """The mean of tau inside the groups minus that across them."""
    inside = [taus[i, j] for of in (a, b) for i, j in itertools.combinations(of, 2)]
    across = taus[np.ix_(a, b)]
    return float(np.nanmean(inside) - np.nanmean(across)) if inside else math.nan


def _exchanged(taus: Values, both: Values, size: int) -> tuple[float, float]:
    """p of the gap among all ways to label the benchmarks, and the smallest p they can give."""
    seen = _gap(taus, both[:size], both[size:])
    if not math.isfinite(seen):
        return 1.0, 1.0
    n = len(both)
    # Of equal groups each way and its mirror image have the same gap.
    copies = 2 if 2 * size == n else 1
    count = math.comb(n, size)
    if count <= EXCHANGES:
        ways = [np.array(chosen) for chosen in itertools.combinations(range(n), size)]
    else:
        rng = np.random.default_rng(0)
        ways = [rng.permutation(n)[:size] for _ in range(EXCHANGES)]
        ways.append(np.arange(size))
    hits = 0
    for chosen in ways:
        rest = np.setdiff1d(np.arange(n), chosen)
        hits += _gap(taus, both[chosen], both[rest]) >= seen - 1e-12
    return hits / len(ways), copies / min(count, len(ways))


def _drawn(ranked: Values, rows: Sequence[Values], times: int = 2000) -> Bounds | None:
    """Percentiles of tau of the groups' average ranks when benchmarks of each are drawn anew."""
    if min(len(r) for r in rows) < 3:
        return None
    rng = np.random.default_rng(0)
    found = []
    for _ in range(times):
        means = [ranked[rng.choice(r, len(r))].mean(axis=0) for r in rows]
        found.append(_tau(means[0], means[1]))
    known = np.array(found)[np.isfinite(found)]
    if not len(known):
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return Bounds(low=float(low), high=float(high))


def _tau(a: Values, b: Values) -> float:
    first, second = np.triu_indices(len(a), 1)
    x, y = np.sign(a[first] - a[second]), np.sign(b[first] - b[second])
    scale = math.sqrt(float((x != 0).sum() * (y != 0).sum()))
    return float(x @ y) / scale if scale else math.nan
