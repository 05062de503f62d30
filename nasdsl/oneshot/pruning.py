"""`prune`: which options of each decision stay, by the weights of the mix.

`top(n)` keeps the n best (P-DARTS, arXiv 1904.12760; DrNAS, arXiv 2006.10355). `drop(f)` keeps
floor(m (1 - f)) of the m options that the space has, at least one, whatever was pruned before.
Of options with equal weight the earlier stays. One that an architecture may have stays always, even
where `none` and others that the space excludes are stronger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from nasdsl.ir.config import Component
from nasdsl.ir.space import Decision, Space
from nasdsl.passes.prune import every


def keep_of(
    space: Space,
    original: Space,
    component: Component,
    mix: Mapping[str, Mapping[str, list[float]]],
) -> dict[str, tuple[str, ...]]:
    """Labels that stay, of the decisions that lose some.

    `space` is what is searched now, `original` has every option; `mix` is table -> decision ->
    weights.
    """
    counts = {d.id: len(d.labels) for d in every(original.decisions)}
    excluded = _excluded(original)
    rows = {d: row for found in mix.values() for d, row in found.items()}
    keep: dict[str, tuple[str, ...]] = {}
    for decision in every(space.decisions):
        if decision.kind != "op" or decision.count is not None or decision.id not in rows:
            continue
        n = stay(component, counts[decision.id])
        if n < len(decision.labels):
            keep[decision.id] = _best(decision, rows[decision.id], n, excluded)
    return keep


def stay(component: Component, count: int) -> int:
    """How many of `count` options stay."""
    if component.name == "top":
        return min(count, int(component.get("n")))
    return max(1, math.floor(count * (1 - Fraction(component.get("fraction")))))


def _best(
    decision: Decision, weights: list[float], n: int, excluded: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    ranked = sorted(range(len(decision.labels)), key=lambda k: (-weights[k], k))
    chosen = ranked[:n]
    barred = excluded.get(decision.id, ())
    if all(decision.labels[k] in barred for k in chosen):
        free = next((k for k in ranked if decision.labels[k] not in barred), None)
        if free is not None:
            chosen[-1] = free
    return tuple(decision.labels[k] for k in sorted(chosen))


def _excluded(space: Space) -> dict[str, tuple[str, ...]]:
    """Labels that may not be chosen, by decision."""
    found: dict[str, tuple[str, ...]] = {}
    for rules in space.rules:
        for node, identities in rules.rows:
            for keep in rules.keeps:
                if node in keep.targets:
                    found.update(dict.fromkeys(identities, keep.exclude))
    return found
