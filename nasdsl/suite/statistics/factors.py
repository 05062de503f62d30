"""Whether a ranking persists from level to level of a factor: splits, data sets, lengths, seeds.

A factor is a dimension of a suite (`split`, `dataset`, `space`, `setting`, `seed`) or a parameter
that calls in it give several values (`epochs` of `short(epochs = 12)`, `seed` of a split). All
else equal is a block; in a block the same items have a value at every level and are ranked at each.
Items are optimizers, averaged over seeds; where the training settings are the factor, they are the
architectures that were found: optimizer and seed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nasdsl.suite.statistics import agreement
from nasdsl.suite.statistics.paired import Bounds, interval
from nasdsl.suite.statistics.results import Values, natural

#: Dimensions of a suite by the name of their labels; `optimizer` is what is compared.
DIMENSIONS = ("optimizer", "space", "dataset", "split", "setting", "seed")
#: Other words for them.
ALIASES = {"retrain": "setting", "data": "dataset"}
#: Fewer items are not worth a rank correlation: of two it is always 1 or -1.
FEWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """One value by the labels it depends on, and what calls changed in each dimension."""

    names: Mapping[str, str]
    changes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    value: float

    def without(self, dimension: str, parameter: str) -> str:
        """The label of a dimension but for one parameter."""
        base = self.names[dimension].partition("(")[0]
        rest = [f"{k} = {v}" for k, v in self.changes[dimension].items() if k != parameter]
        return f"{base}({', '.join(rest)})" if rest else base


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two levels: means over blocks of rank correlations.

    `bounds` is Student's t interval of tau over blocks, None of one block; `p` that of tau in the
    only block, None of several. `overlap` is the share of the best `k` at the one level among the
    best at the other, None where `k` was not asked for or is too large.
    """

    a: str
    b: str
    tau: float
    rho: float
    blocks: int
    items: int
    bounds: Bounds | None
    p: float | None
    overlap: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A factor with its levels in order.

    `means` is by item: a mean at every level. `notes` says what the results do not allow.
    """

    title: str
    levels: tuple[str, ...]
    means: Mapping[str, tuple[float, ...]]
    pairs: tuple[Pair, ...]
    k: int | None
    notes: tuple[str, ...]


def factors(
    rows: Sequence[Reported], name: str, *, higher: bool = True, k: int | None = None
) -> list[Factor]:
    """All that a name stands for in some results; none where it has one level."""
    found = []
    for dimension, parameter in _meant(rows, name):
        made = _factor(rows, dimension, parameter, higher=higher, k=k)
        if len(made.levels) > 1:
            found.append(made)
    return found


def _meant(rows: Sequence[Reported], name: str) -> list[tuple[str, str | None]]:
    """Dimensions, with the parameter where the name is one of theirs."""
    name = ALIASES.get(name, name)
    found: list[tuple[str, str | None]] = []
    if name in DIMENSIONS and name != "optimizer":
        found.append((name, None))
    for dimension in DIMENSIONS:
        values = {r.changes.get(dimension, {}).get(name) for r in rows}
        if len(values - {None}) > 1:
            found.append((dimension, name))
    return found


def _factor(
    rows: Sequence[Reported],
    dimension: str,
    parameter: str | None,
    *,
    higher: bool,
    k: int | None,
) -> Factor:
    title = dimension if parameter is None else f"{parameter} of {_said(dimension)}"
    blocks: dict[tuple[str, ...], dict[str, dict[str, list[float]]]] = {}
    for r in rows:
        if parameter is not None and parameter not in r.changes.get(dimension, {}):
            continue
        level = r.names[dimension] if parameter is None else r.changes[dimension][parameter]
        rest = dict(r.names)
        rest[dimension] = "" if parameter is None else r.without(dimension, parameter)
        item = rest["optimizer"]
        if dimension == "setting" and rest.get("seed"):
            item += f", seed {rest['seed']}"
        block = tuple(rest.get(d, "") for d in ("space", "dataset", "split", "setting"))
        blocks.setdefault(block, {}).setdefault(item, {}).setdefault(level, []).append(r.value)
    names = {level for of in blocks.values() for by in of.values() for level in by}
    levels = tuple(sorted(names, key=natural))
    tables = [_table(of, levels) for of in blocks.values()]
    notes = []
    usable = [t for t in tables if len(t) >= FEWEST]
    if not usable:
        most = max((len(t) for t in tables), default=0)
        notes.append(
            f"no ranks by {title}: {most} item{'s' * (most != 1)} in a block with a value at every "
            f"level, {FEWEST} are needed"
        )
    elif k is not None and min(len(t) for t in usable) <= k:
        notes.append(
            f"precision_at({k}) by {title} needs more than {k} items in a block; there are "
            f"{min(len(t) for t in usable)}"
        )
        k = None
    pairs = tuple(
        _pair(levels, i, j, usable, higher=higher, k=k)
        for i, j in itertools.combinations(range(len(levels)), 2)
        if usable
    )
    return Factor(
        title=title,
        levels=levels,
        means=_means(tables, len(levels)),
        pairs=pairs,
        k=k if usable else None,
        notes=tuple(notes),
    )


def _said(dimension: str) -> str:
    return {"optimizer": "recipes", "setting": "retraining"}.get(dimension, f"{dimension}s")


def _table(
    of: Mapping[str, Mapping[str, Sequence[float]]], levels: Sequence[str]
) -> dict[str, Values]:
    """Items that have a value at every level, with the means there."""
    return {
        item: np.array([np.mean(by[level]) for level in levels])
        for item, by in of.items()
        if all(level in by for level in levels)
    }


def _means(tables: Sequence[Mapping[str, Values]], count: int) -> dict[str, tuple[float, ...]]:
    """By item the mean over blocks at every level; items with a seed in their name go together."""
    known: dict[str, list[Values]] = {}
    for t in tables:
        for item, values in t.items():
            known.setdefault(item.partition(", seed ")[0], []).append(values)
    return {
        item: tuple(float(v) for v in np.mean(values, axis=0)) for item, values in known.items()
    }


def _pair(
    levels: Sequence[str],
    i: int,
    j: int,
    tables: Sequence[Mapping[str, Values]],
    *,
    higher: bool,
    k: int | None,
) -> Pair:
    columns = [
        (np.array([v[i] for v in t.values()]), np.array([v[j] for v in t.values()])) for t in tables
    ]
    taus = [agreement.kendall(a, b) for a, b in columns]
    rhos = [agreement.spearman(a, b).coefficient for a, b in columns]
    known = [t.coefficient for t in taus if math.isfinite(t.coefficient)]
    overlaps = [] if k is None else [_overlap(a, b, k, higher=higher) for a, b in columns]
    return Pair(
        a=levels[i],
        b=levels[j],
        tau=float(np.mean(known)) if known else math.nan,
        rho=float(np.nanmean(rhos)) if any(map(math.isfinite, rhos)) else math.nan,
        blocks=len(tables),
        items=min(len(t) for t in tables),
        bounds=_within(interval(known)) if len(known) > 2 else None,
        p=taus[0].p if len(taus) == 1 else None,
        overlap=float(np.mean(overlaps)) if overlaps else None,
    )


def _within(bounds: Bounds | None) -> Bounds | None:
    """An interval of a correlation: it lies in [-1, 1]."""
    if bounds is None:
        return None
    return Bounds(low=max(-1.0, bounds.low), high=min(1.0, bounds.high))


def _overlap(a: Values, b: Values, k: int, *, higher: bool) -> float:
    sign = -1 if higher else 1
    best = [set(np.argsort(sign * x, kind="stable")[:k].tolist()) for x in (a, b)]
    return len(best[0] & best[1]) / k
