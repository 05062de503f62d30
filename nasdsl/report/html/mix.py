"""How a mix developed: shares of operations and weights of decisions, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nasdsl.report.run import shares

Series = dict[str, list[tuple[float, float]]]


def mix_over_time(
    records: Sequence[Mapping[str, Any]], labels: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Series], dict[str, Series]]:
    """By table the mean weight of every label; by decision the weight of every option.

    `labels` are the options of decisions; a record of an edited supernet has its own.
    """
    over: dict[str, Series] = {}
    weights: dict[str, Series] = {}
    for r in records:
        now = {**labels, **(r.get("labels") or {})}
        at = float(r["epoch"])
        for name, rows in (r.get("mix") or {}).items():
            for label, share in shares(rows, now).items():
                over.setdefault(name, {}).setdefault(label, []).append((at, share))
            for identity, row in rows.items():
                names = now.get(identity, ())
                if len(names) != len(row):
                    names = [f"option {i}" for i in range(1, len(row) + 1)]
                for label, w in zip(names, row, strict=True):
                    weights.setdefault(identity, {}).setdefault(label, []).append((at, float(w)))
    return over, weights


def mean(several: Sequence[Series]) -> Series:
    """The mean of runs of the same kind, epoch by epoch, over those that have the epoch."""
    sums: dict[str, dict[float, tuple[float, int]]] = {}
    for series in several:
        for name, points in series.items():
            known = sums.setdefault(name, {})
            for at, value in points:
                total, count = known.get(at, (0.0, 0))
                known[at] = (total + value, count + 1)
    return {
        name: [(at, total / count) for at, (total, count) in sorted(known.items())]
        for name, known in sums.items()
    }
