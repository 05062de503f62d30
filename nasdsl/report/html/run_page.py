"""The page of a run: what was found, how the search went, what it cost, how to repeat it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasdsl.diagnostics.model import CompileError
from nasdsl.ir.genotype import Genotype, loads
from nasdsl.ir.space import Space
from nasdsl.report.columns import number
from nasdsl.report.draw import DrawError, drawing
from nasdsl.report.html import charts, page
from nasdsl.report.picture import cells_of
from nasdsl.report.run import run_report, shares
from nasdsl.training.archive import reopen
from nasdsl.training.record import RunFolder, read_log

#: Decisions whose weights are drawn; of more there are the shares.
MOST = 64


def run_page(path: Path) -> str:
    """The page of a run folder. Raises RunError."""
    report = run_report(path)
    folder = RunFolder(path)
    records = read_log(folder.log) if folder.log.is_file() else []
    run = report["run"]
    items = run.get("items") or {}
    title = " / ".join(str(i["name"]) for k in ("space", "recipe") if (i := items.get(k)))
    labels = {row["decision"]: row["labels"] for rows in report["mix"].values() for row in rows}
    return page.document(
        f"Run: {title or path.name}",
        [
            page.facts(_facts(report)),
            "".join(page.note(w) for w in report["warnings"]),
            _found(folder, report),
            _search(report),
            _trajectories(records, labels),
            _health(report),
            _retraining(report),
            _cost(folder, report),
        ],
    )


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    run = report["run"]
    found = [(k, str(i["name"])) for k, i in (run.get("items") or {}).items()]
    changed = {**(run.get("parameters") or {}), **(run.get("changes") or {})}
    found.append(("changed", ", ".join(f"{k} = {v}" for k, v in changed.items())))
    found.append(("seed", str(run.get("seed", ""))))
    found.append(("status", str(report["status"])))
    for name, key in (("supernet, validation", "valid"), ("one-hot supernet", "valid_discrete")):
        if report.get(key):
            found.append((name, f"{report[key]['accuracy']:.2f} %"))
    if report.get("discretization_gap") is not None:
        found.append(("discretization gap", f"{report['discretization_gap']:.2f} points"))
    if report.get("retrain"):
        retrain = report["retrain"]
        found.append(("retrained, test", f"{retrain['test']['accuracy']:.2f} %"))
        found.append(("parameters", number(int(retrain["params"]))))
    return found


def _found(folder: RunFolder, report: Mapping[str, Any]) -> str:
    if not folder.has("genotype.json"):
        return page.section("Architecture", page.paragraph("None is found yet."))
    drawn = "".join(cells(folder, start=0))
    text = report.get("genotype")
    return page.section("Architecture", drawn, page.code(str(text)) if text else "")


def cells(folder: RunFolder, *, start: int) -> list[str]:
    """Drawings of the cells that a run's genotype names; none where its sources are damaged."""
    try:
        genotype = loads(json.dumps(folder.read("genotype.json")))
        space = reopen(folder).space(genotype)
    except (CompileError, ValueError, KeyError, TypeError, OSError):
        return []
    return cell_drawings(space, genotype, start=start)


def cell_drawings(space: Space, genotype: Genotype, *, start: int) -> list[str]:
    """Drawings of the cells of a space that a genotype has decided."""
    made = []
    for i, name in enumerate(cells_of(space.target)):
        try:
            svg = drawing(space, "svg", name, resolved=True, genotype=genotype)
        except DrawError:
            continue
        made.append(page.figure(page.drawing(svg, start + i)))
    return made


def _series(epochs: Sequence[Mapping[str, Any]], what: str) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for part in ("train", "valid"):
        values = [(float(e["epoch"]), float(e[part][what])) for e in epochs if e.get(part)]
        if values:
            found[part] = values
    return found


def _search(report: Mapping[str, Any]) -> str:
    epochs = report["epochs"]
    if not epochs or not _series(epochs, "loss"):
        return ""
    entropies: dict[str, list[tuple[float, float]]] = {}
    for e in epochs:
        for name, value in (e.get("entropy") or {}).items():
            entropies.setdefault(name, []).append((float(e["epoch"]), float(value)))
    parts = [
        charts.key(list(_series(epochs, "loss"))),
        page.figure(charts.lines(_series(epochs, "loss"), title="loss")),
        page.figure(charts.lines(_series(epochs, "accuracy"), title="accuracy, %")),
    ]
    if entropies:
        parts += [
            charts.key(list(entropies)),
            page.figure(charts.lines(entropies, title="mean entropy of the mix, nats")),
        ]
    return page.section("Search", *parts)


def _trajectories(records: Sequence[Mapping[str, Any]], labels: Mapping[str, Sequence[str]]) -> str:
    """The mix epoch by epoch: the share of every operation, and the weights of every decision."""
    with_mix = [r for r in records if r.get("mix")]
    if not with_mix:
        return ""
    parts = []
    weights: dict[str, dict[str, list[tuple[float, float]]]] = {}
    over: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for r in with_mix:
        now = {**labels, **(r.get("labels") or {})}
        at = float(r["epoch"])
        for table_name, rows in r["mix"].items():
            for label, share in shares(rows, now).items():
                over.setdefault(table_name, {}).setdefault(label, []).append((at, share))
            for identity, row in rows.items():
                names = now.get(identity, ())
                if len(names) != len(row):
                    names = [f"option {i}" for i in range(1, len(row) + 1)]
                for label, w in zip(names, row, strict=True):
                    weights.setdefault(identity, {}).setdefault(label, []).append((at, float(w)))
    for table_name, lines in over.items():
        parts += [
            charts.key(list(lines)),
            page.figure(
                charts.lines(lines, title=f"mean share of each operation, {table_name}", low=0.0)
            ),
        ]
    drawn = list(weights.items())[:MOST]
    small = "".join(
        charts.lines(lines, title=identity, small=True, low=0.0) for identity, lines in drawn
    )
    rest = len(weights) - len(drawn)
    said = page.paragraph(f"{rest} further decisions are not drawn.", soft=True) if rest else ""
    parts.append(
        page.folded(f"Weights of {len(drawn)} decisions", f'<div class="grid">{small}</div>{said}')
    )
    return page.section("How the mix developed", *parts)


def _health(report: Mapping[str, Any]) -> str:
    found: dict[str, list[tuple[float, float]]] = {}
    for e in report["epochs"]:
        for name, value in (e.get("health") or {}).items():
            if isinstance(value, int | float):
                found.setdefault(name, []).append((float(e["epoch"]), float(value)))
    if not found:
        return ""
    small = "".join(charts.lines({n: v}, title=n, small=True) for n, v in found.items())
    return page.section("Health", f'<div class="grid">{small}</div>')


def _retraining(report: Mapping[str, Any]) -> str:
    epochs = report["retrain_epochs"]
    if not epochs or not _series(epochs, "loss"):
        return ""
    return page.section(
        "Retraining",
        charts.key(list(_series(epochs, "loss"))),
        page.figure(charts.lines(_series(epochs, "loss"), title="loss")),
        page.figure(charts.lines(_series(epochs, "accuracy"), title="accuracy, %")),
    )


def _cost(folder: RunFolder, report: Mapping[str, Any]) -> str:
    run = folder.read("run.json")
    seconds = [e["seconds"] for e in report["epochs"] if "seconds" in e]
    found = [
        ("search", f"{max(seconds):.1f} s of training" if seconds else ""),
        ("retraining", f"{report['retrain']['seconds']:.1f} s" if report.get("retrain") else ""),
        ("device", f"{run.get('device')}, {run.get('threads')} threads"),
        ("versions", ", ".join(f"{k} {v}" for k, v in (run.get("versions") or {}).items())),
        ("space", f"digest {run.get('space_digest')}"),
        ("images", ", ".join(f"{k} {v}" for k, v in (run.get("fingerprints") or {}).items())),
    ]
    return page.section(
        "What it cost, and how to repeat it",
        page.facts(found),
        page.code(f"nasdsl run {report['path']} -o again"),
        page.paragraph(
            "The folder holds every source it was compiled from; the same versions on the same "
            "device repeat it bit for bit.",
            soft=True,
        ),
    )
