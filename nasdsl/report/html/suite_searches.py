"""How the searches of a suite went: shares of operations over time, gaps, health."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nasdsl.diagnostics.model import CompileError
from nasdsl.report.charts.lines import lines
from nasdsl.report.html import page
from nasdsl.report.html.mix import Series, mean, mix_over_time
from nasdsl.report.html.parts import Beside, Figure, Folded, Key, Part, Section, Table, figure
from nasdsl.report.run import labels_of
from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.store import Stored
from nasdsl.training.archive import reopen
from nasdsl.training.record import RunError, RunFolder, read_log

#: Optimizers times benchmarks whose shares are drawn.
MOST = 100

Key_ = tuple[str, str]


def searches(folder: SuiteFolder, about: Mapping[str, Any], stored: Sequence[Stored]) -> Section:
    """What every search wrote down, by benchmark and optimizer, means over seeds."""
    groups: dict[Key_, list[Stored]] = {}
    for s in stored:
        if s.cell.kind == "search" and s.state == "done":
            key = s.cell.names["benchmark"], s.cell.names["optimizer"]
            groups.setdefault(key, []).append(s)
    if not groups:
        return Section("How the searches went", [])
    parts: list[Part] = [*_gaps(about, groups)]
    logs = {key: [_log(folder, s) for s in of] for key, of in groups.items()}
    parts += _health(logs)
    parts += _shares(folder, groups, logs)
    parts.append(
        page.paragraph(
            f"The weights of every decision of one search: nasdsl report {folder.path}/cells/DIGEST "
            "-o one.html",
            soft=True,
        )
    )
    return Section("How the searches went", parts)


def _log(folder: SuiteFolder, s: Stored) -> list[dict[str, Any]]:
    place = RunFolder(folder.cell(s.cell.digest))
    try:
        return read_log(place.log) if place.log.is_file() else []
    except (OSError, ValueError):
        return []


def _gaps(about: Mapping[str, Any], groups: Mapping[Key_, Sequence[Stored]]) -> list[Part]:
    """Discretization gaps, a row per benchmark and a column per optimizer."""
    means: dict[Key_, tuple[float, int]] = {}
    for key, of in groups.items():
        known = [
            float(s.result["discretization_gap"])
            for s in of
            if s.result is not None and s.result.get("discretization_gap") is not None
        ]
        if known:
            means[key] = sum(known) / len(known), len(known)
    if not means:
        return []
    optimizers = [o for o in about["optimizers"] if any(k[1] == o for k in means)]
    most = max(max(abs(v) for v, _ in means.values()), 1e-9)
    rows, shades = [], []
    for b in dict.fromkeys(k[0] for k in groups):
        found = [means.get((b, o)) for o in optimizers]
        rows.append([b, *("-" if f is None else f"{f[0]:+.1f}" for f in found)])
        shades.append([None, *(None if f is None else -f[0] / most for f in found)])
    said = (
        "Discretization gap: points of validation accuracy that a supernet loses when its mix "
        "becomes one architecture, with the weights it has; means over seeds."
    )
    return [page.paragraph(said, soft=True), Table("gap", rows, ["", *optimizers], shades)]


def _health(logs: Mapping[Key_, Sequence[Sequence[Mapping[str, Any]]]]) -> list[Part]:
    """The last of what recipes measured, means over seeds."""
    found: dict[Key_, dict[str, list[float]]] = {}
    for key, several in logs.items():
        for log in several:
            last: dict[str, float] = {}
            for record in log:
                for name, value in (record.get("health") or {}).items():
                    if isinstance(value, int | float):
                        last[name] = float(value)
            for name, value in last.items():
                found.setdefault(key, {}).setdefault(name, []).append(value)
    names = list(dict.fromkeys(n for of in found.values() for n in of))
    if not names:
        return []
    rows = [
        [f"{o} on {b}", *(f"{sum(v) / len(v):.3g}" if (v := of.get(n)) else "-" for n in names)]
        for (b, o), of in found.items()
    ]
    said = page.paragraph(
        "Health at the last epoch that was measured, means over seeds:", soft=True
    )
    return [said, Table("health", rows, ["", *names])]


def _shares(
    folder: SuiteFolder,
    groups: Mapping[Key_, Sequence[Stored]],
    logs: Mapping[Key_, Sequence[Sequence[Mapping[str, Any]]]],
) -> list[Part]:
    """The mean share of each operation, epoch by epoch: folded, a benchmark each."""
    by_benchmark: dict[str, list[tuple[str, str, Series]]] = {}
    for key in list(groups)[:MOST]:
        benchmark, optimizer = key
        labels = _labels(RunFolder(folder.cell(groups[key][0].cell.digest)))
        tables: dict[str, list[Series]] = {}
        for log in logs[key]:
            over, _ = mix_over_time(log, labels)
            for name, series in over.items():
                tables.setdefault(name, []).append(series)
        for name, several in tables.items():
            by_benchmark.setdefault(benchmark, []).append((optimizer, name, mean(several)))
    made: list[Part] = []
    for benchmark, rows in by_benchmark.items():
        # Charts of the same operations stand together, under one key.
        keyed: dict[tuple[str, ...], list[Figure]] = {}
        for optimizer, name, series in rows:
            chart = lines(series, title=f"{optimizer}: {name}", small=True, from_zero=True)
            drawn = figure(f"shares {optimizer} on {benchmark} {name}", chart, key=False)
            keyed.setdefault(tuple(series), []).extend(drawn)
        inside: list[Part] = []
        for names, figures in keyed.items():
            inside += [Key(names), Beside(figures, small=True)]
        made.append(Folded(f"Shares of operations over time on {benchmark}", inside))
    return made


def _labels(place: RunFolder) -> Mapping[str, Sequence[str]]:
    """Options of every decision of a search; none where its sources are damaged."""
    try:
        return labels_of(reopen(place).space())
    except (RunError, CompileError, ValueError, KeyError, TypeError, OSError):
        return {}
