"""The page of a suite, or of a table of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasdsl.report.html import charts, page
from nasdsl.report.html.run_page import cells
from nasdsl.report.html.study import sections
from nasdsl.report.suite_plan import KINDS, STATES, duration
from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.outcome import Standing, results_of, standing
from nasdsl.suite.statistics.results import Results, StatisticsError, Summary
from nasdsl.suite.statistics.study import Study, study
from nasdsl.suite.store import Stored
from nasdsl.suite.work import value_of
from nasdsl.training.record import RunFolder

#: Architectures that are drawn, one for every optimizer and benchmark.
MOST = 100


def results_page(results: Results, file: Path, *, summary: Summary, alpha: float) -> str:
    """The page of a table of results. Raises StatisticsError."""
    found = study(results, summary=summary, alpha=alpha)
    return page.document(
        f"Results: {file.name}",
        [
            page.facts(_counted(found)),
            *sections(found),
            page.section("How to repeat it", page.code(f"nasdsl suite report {file}")),
        ],
    )


def suite_page(folder: SuiteFolder, *, summary: Summary, alpha: float) -> str:
    """The page of a suite, as far as it has got. Raises SuiteError."""
    about = folder.about()
    store = folder.open()
    stored = store.all()
    store.close()
    now = standing(stored)
    parts = [_standing(now)]
    try:
        found = study(results_of(about, stored), summary=summary, alpha=alpha)
        parts = [page.facts(_counted(found)), _standing(now), *sections(found)]
        parts.append(_front(about, stored, found))
    except StatisticsError as error:
        parts.append(page.note(f"No statistics yet: {error}"))
    parts += [_architectures(folder, stored), _cost(stored), _repeat(folder, about)]
    return page.document(f"Suite: {about['suite']}", parts)


def _counted(found: Study) -> list[tuple[str, str]]:
    r = found.results
    return [
        ("values", f"{len(r.rows)} of {r.measure}"),
        ("optimizers", ", ".join(r.optimizers)),
        ("benchmarks", str(len(r.benchmarks))),
        ("settings", str(len(r.settings))),
        ("seeds", str(len(r.seeds))),
    ]


def _standing(now: Standing) -> str:
    rows = [[k, *(str(now.counts.get((k, s), 0)) for s in STATES)] for k in KINDS]
    failed = "".join(page.note(f"Failed: {s.cell.title}: {s.error}") for s in now.failed)
    held = page.note(f"{now.held} cells wait for failed ones.") if now.held else ""
    return page.section("Cells", page.table(rows, ["", *STATES]), failed, held)


def _front(about: Mapping[str, Any], stored: Sequence[Stored], found: Study) -> str:
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for s in stored:
        if s.cell.kind == "retrain" and s.result is not None and s.result.get("params"):
            names = s.cell.names
            point = float(s.result["params"]), value_of(s.result, about["measure"])
            points.setdefault((names["optimizer"], names["benchmark"]), []).append(point)
    flat = [
        (o, sum(p for p, _ in ps) / len(ps), sum(v for _, v in ps) / len(ps))
        for (o, _), ps in points.items()
    ]
    drawn = charts.scatter(
        flat, across="parameters", up=about["measure"], higher=found.results.higher
    )
    if not drawn:
        return ""
    return page.section(
        "Accuracy and size",
        charts.key(list(dict.fromkeys(o for o, *_ in flat))),
        page.figure(
            drawn,
            "A point is an optimizer on a benchmark, the mean of its retrained networks; ringed "
            "points are beaten by none that is as small.",
        ),
    )


def _architectures(folder: SuiteFolder, stored: Sequence[Stored]) -> str:
    seen: set[tuple[str, str]] = set()
    parts: list[str] = []
    number = 0
    for s in stored:
        key = s.cell.names["benchmark"], s.cell.names["optimizer"]
        if s.cell.kind != "retrain" or s.state != "done" or key in seen or len(seen) >= MOST:
            continue
        seen.add(key)
        drawn = cells(RunFolder(folder.cell(s.cell.digest)), start=number)
        number += len(drawn)
        text = str((s.result or {}).get("genotype", ""))
        parts.append(page.folded(f"{key[1]} on {key[0]}", "".join(drawn) + page.code(text)))
    return page.section("Architectures", *parts)


def _cost(stored: Sequence[Stored]) -> str:
    optimizers = list(dict.fromkeys(s.cell.names["optimizer"] for s in stored))
    rows = []
    for o in optimizers:
        row = [o]
        for kind in ("search", "retrain"):
            times = [
                s.seconds
                for s in stored
                if s.cell.names["optimizer"] == o and s.cell.kind == kind and s.seconds is not None
            ]
            row += [duration(sum(times)), duration(sum(times) / len(times)) if times else "-"]
        rows.append(row)
    head = ["", "searches", "each", "retrainings", "each"]
    return page.section("What it cost", page.table(rows, head))


def _repeat(folder: SuiteFolder, about: Mapping[str, Any]) -> str:
    text = (
        f"nasdsl suite run {about['file']} --suite {about['suite']} -o again\n"
        f"nasdsl suite report {folder.path}"
    )
    return page.section("How to repeat it", page.code(text))
