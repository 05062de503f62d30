"""The page of a suite, or of a table of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasdsl.report.html import page
from nasdsl.report.html.cuts import cuts_section
from nasdsl.report.html.factors import factor_sections
from nasdsl.report.html.parts import Folded, Page, Part, Section, Table
from nasdsl.report.html.study import sections
from nasdsl.report.html.suite_networks import architectures, fronts, networks
from nasdsl.report.html.suite_searches import searches
from nasdsl.report.suite_plan import KINDS, STATES, duration
from nasdsl.suite.cuts import cuts_of
from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.outcome import Standing, factors_of, results_of, standing
from nasdsl.suite.statistics.cuts import cuts
from nasdsl.suite.statistics.results import Results, StatisticsError, Summary
from nasdsl.suite.statistics.study import Study, study
from nasdsl.suite.store import Stored
from nasdsl.training.record import RunFolder


def results_page(results: Results, file: Path, *, summary: Summary, alpha: float) -> Page:
    """The page of a table of results. Raises StatisticsError."""
    found = study(results, summary=summary, alpha=alpha)
    return Page(
        f"Results: {file.name}",
        [
            page.facts(_counted(found)),
            *sections(found),
            Section("How to repeat it", [page.code(f"nasdsl suite report {file}")]),
        ],
    )


def suite_page(
    about: Mapping[str, Any],
    stored: Sequence[Stored],
    *,
    folder: SuiteFolder | None = None,
    best: bool | None = None,
    alpha: float,
) -> Page:
    """The page of a suite as far as it has got: what it says about itself, and its cells.

    The architectures and the courses of searches are in `folder`; without it, of a store in a
    server, there are the results alone. Raises SuiteError.
    """
    summary: Summary = "best" if (about["best"] if best is None else best) else "mean"
    parts: list[Part] = []
    higher = True
    try:
        made = study(results_of(about, stored), summary=summary, alpha=alpha)
        higher = made.results.higher
        parts = [page.facts(_counted(made)), *_standing(stored), *sections(made)]
        parts += factor_sections(factors_of(about, stored))
        if folder is not None:
            parts += _cuts(folder, about, stored, higher=higher)
    except StatisticsError as error:
        parts = [*_standing(stored), page.note(f"No statistics yet: {error}")]
    if folder is not None:
        found = networks(folder, stored)
        parts += [
            fronts(about, found, stored, higher=higher),
            searches(folder, about, stored),
            architectures(found),
        ]
    return Page(f"Suite: {about['suite']}", [*parts, _cost(stored), _repeat(folder, about, stored)])


def _cuts(
    folder: SuiteFolder, about: Mapping[str, Any], stored: Sequence[Stored], *, higher: bool
) -> list[Section]:
    """How results move with the cut of the data, where a suite has several."""
    values = cuts_of(folder, about, stored)
    try:
        return [cuts_section(cuts(values, measure=str(about["measure"]), higher=higher))]
    except StatisticsError:
        return []


def _counted(found: Study) -> list[tuple[str, str]]:
    r = found.results
    return [
        ("values", f"{len(r.rows)} of {r.measure}"),
        ("optimizers", ", ".join(r.optimizers)),
        ("benchmarks", str(len(r.benchmarks))),
        ("settings", str(len(r.settings))),
        ("seeds", str(len(r.seeds))),
    ]


def _standing(stored: Sequence[Stored]) -> list[Part]:
    """How much of the suite is done: a line where all is, else a table."""
    now: Standing = standing(stored)
    notes = [page.note(f"Failed: {s.cell.title}: {s.error}") for s in now.failed]
    if now.held:
        notes.append(page.note(f"{now.held} cells wait for failed ones."))
    if all(s.state == "done" for s in stored):
        return [page.facts([("cells", f"all {len(stored)} are done")]), *notes]
    rows = [[k, *(str(now.counts.get((k, s), 0)) for s in STATES)] for k in KINDS]
    return [Section("Cells", [Table("cells", rows, ["", *STATES]), *notes])]


def _cost(stored: Sequence[Stored]) -> Section:
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
    every = [
        [
            s.cell.title,
            s.state,
            "-" if s.seconds is None else f"{s.seconds:.1f}",
            str(s.attempts),
            s.cell.digest,
        ]
        for s in stored
        if s.cell.kind != "pick"
    ]
    return Section(
        "What it cost",
        [
            Table("cost", rows, head),
            Folded(
                f"Each of the {len(every)} runs",
                [Table("runs", every, ["", "state", "seconds", "attempts", "digest"])],
            ),
        ],
    )


def _repeat(
    folder: SuiteFolder | None, about: Mapping[str, Any], stored: Sequence[Stored]
) -> Section:
    text = f"nasdsl suite run {about['file']} --suite {about['suite']} -o again"
    if folder is None:
        said = "The store holds every source the suite was compiled from; the run folders, one for "
        said += "each cell, are where it was run."
        return Section("How to repeat it", [page.code(text), page.paragraph(said, soft=True)])
    text += f"\nnasdsl suite report {folder.path}"
    said = (
        f"{folder.path} holds every source the suite was compiled from; a run folder of each cell, "
        "named by its digest, lies in cells/."
    )
    found = [page.facts(_made_with(folder, stored)), page.code(text)]
    return Section("How to repeat it", [*found, page.paragraph(said, soft=True)])


def _made_with(folder: SuiteFolder, stored: Sequence[Stored]) -> list[tuple[str, str]]:
    """Devices and versions of all that is done."""
    devices: dict[str, None] = {}
    versions: dict[str, None] = {}
    for s in stored:
        place = RunFolder(folder.cell(s.cell.digest))
        if s.state != "done" or s.cell.kind == "pick" or not place.has("run.json"):
            continue
        run = place.read("run.json")
        devices[f"{run.get('device')}, {run.get('threads')} threads"] = None
        versions[", ".join(f"{k} {v}" for k, v in (run.get("versions") or {}).items())] = None
    return [("devices", "; ".join(devices)), ("versions", "; ".join(versions))]
