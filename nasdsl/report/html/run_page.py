"""The page of a run: what was found, how the search went, what it cost, how to repeat it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasdsl.diagnostics.model import CompileError
from nasdsl.ir.genotype import Genotype, loads
from nasdsl.ir.space import Space
from nasdsl.report.benchmark import benchmark_lines
from nasdsl.report.charts.bars import bars
from nasdsl.report.charts.front import front
from nasdsl.report.charts.lines import lines
from nasdsl.report.columns import number
from nasdsl.report.draw import DrawError, drawing
from nasdsl.report.html import page
from nasdsl.report.html.mix import mix_over_time
from nasdsl.report.html.parts import (
    Beside,
    Drawing,
    Figure,
    Folded,
    Key,
    Page,
    Part,
    Section,
    Table,
    figure,
)
from nasdsl.report.picture import cells_of
from nasdsl.report.run import run_report
from nasdsl.report.suite_plan import duration
from nasdsl.training.archive import reopen
from nasdsl.training.record import RunFolder, read_log

#: Decisions whose weights are drawn; of more there are the shares.
MOST = 64
#: Of parameters and multiply-adds: a folder from elsewhere may say anything.
MOST_COUNTED = 10**18


def run_page(path: Path) -> Page:
    """The page of a run folder. Raises RunError."""
    report = run_report(path)
    folder = RunFolder(path)
    records = read_log(folder.log) if folder.log.is_file() else []
    run = report["run"]
    items = run.get("items") or {}
    title = " / ".join(str(i["name"]) for k in ("space", "recipe") if (i := items.get(k)))
    labels = {row["decision"]: row["labels"] for rows in report["mix"].values() for row in rows}
    return Page(
        f"Run: {title or path.name}",
        [
            page.facts(_facts(report)),
            *(page.note(w) for w in report["warnings"]),
            _found(folder, report),
            _worth(report),
            _tried(report),
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
    return found


def _found(folder: RunFolder, report: Mapping[str, Any]) -> Section:
    if not folder.has("genotype.json"):
        return Section("Architecture", [page.paragraph("None is found yet.")])
    text = report.get("genotype")
    return Section("Architecture", [*cells(folder), page.code(str(text)) if text else ""])


def cells(folder: RunFolder, *, name: str = "cell") -> list[Drawing]:
    """Drawings of the cells that a run's genotype names; none where its sources are damaged."""
    try:
        genotype = loads(json.dumps(folder.read("genotype.json")))
        space = reopen(folder).space(genotype)
    except (CompileError, ValueError, KeyError, TypeError, OSError):
        return []
    return cell_drawings(space, genotype, name=name)


def cell_drawings(space: Space, genotype: Genotype, *, name: str = "cell") -> list[Drawing]:
    """Drawings of the cells of a space that a genotype has decided."""
    made = []
    for cell in cells_of(space.target):
        try:
            svg = drawing(space, "svg", cell, resolved=True, genotype=genotype)
        except DrawError:
            continue
        made.append(Drawing(f"{name} {cell}", svg))
    return made


def _worth(report: Mapping[str, Any]) -> Section:
    """What the supernet promised, what is left of it one-hot, and what the network came to."""
    shown: list[tuple[str, float]] = []
    alone = bool(report["tried"])  # each network was trained by itself
    for said, measured in (
        ("supernet, validation", report.get("valid")),
        (
            "in the search, validation" if alone else "one-hot supernet, validation",
            report.get("valid_discrete"),
        ),
        ("retrained, validation", (report.get("retrain") or {}).get("valid")),
        ("retrained, test", (report.get("retrain") or {}).get("test")),
    ):
        if measured and measured.get("accuracy") is not None:
            shown.append((said, float(measured["accuracy"])))
    gap = report.get("discretization_gap")
    facts = [("discretization gap", "" if gap is None else f"{gap:.2f} points")]
    if report.get("retrain"):
        facts.append(("parameters", number(int(report["retrain"]["params"]))))
    said = (
        "The gap is what the accuracy of the supernet loses when its mix becomes the one "
        "architecture, with the weights it has."
        if gap is not None
        else ""
    )
    parts: list[Part] = [page.facts(facts)]
    parts += figure("accuracy", bars(shown, title="accuracy", what="accuracy, %"), said)
    if report.get("benchmark"):
        parts.append(page.code("\n".join(benchmark_lines(report["benchmark"]))))
    return Section("What it is worth", parts)


def _tried(report: Mapping[str, Any]) -> Section:
    """Every network that a search trained: what it is worth against what it costs."""
    tried = [t for t in report["tried"] if 0 < t["params"] < MOST_COUNTED > t["macs"] > 0]
    budgets = sorted({t["epochs"] for t in tried})
    names = {e: f"{e} epochs" if e != 1 else "1 epoch" for e in budgets}
    drawn: list[Figure] = []
    for what, key in (("parameters", "params"), ("multiply-adds", "macs")):
        points = [(names[t["epochs"]], float(t[key]), float(t["accuracy"])) for t in tried]
        chart = front(points, across=what, up="accuracy, %", order=list(names.values()))
        drawn += figure(f"front {what}", chart, key=False)
    if not drawn:
        return Section("What was tried", [])
    said = (
        f"{len(tried)} networks on the validation images; ringed ones are beaten by none that costs "
        "as little."
    )
    rows = [
        [
            t["text"],
            str(t["epochs"]),
            number(t["params"]),
            number(t["macs"]),
            f"{t['accuracy']:.2f}",
        ]
        for t in sorted(tried, key=lambda t: -t["accuracy"])
    ]
    head = ["", "epochs", "parameters", "multiply-adds", "accuracy, %"]
    parts: list[Part] = [page.paragraph(said, soft=True), Key(list(names.values())), Beside(drawn)]
    parts.append(Folded("Each of them, best first", [Table("tried", rows, head)]))
    return Section("What was tried", parts)


def _series(epochs: Sequence[Mapping[str, Any]], what: str) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for part in ("train", "valid"):
        values = [(float(e["epoch"]), float(e[part][what])) for e in epochs if e.get(part)]
        if values:
            found[part] = values
    return found


def _curves(name: str, epochs: Sequence[Mapping[str, Any]]) -> list[Part]:
    """Loss and accuracy beside each other."""
    drawn: list[Figure] = []
    for what, title in (("loss", "loss"), ("accuracy", "accuracy, %")):
        drawn += figure(f"{name} {what}", lines(_series(epochs, what), title=title), key=False)
    return [Key(list(_series(epochs, "loss"))), Beside(drawn)] if drawn else []


def _search(report: Mapping[str, Any]) -> Section:
    epochs = report["epochs"]
    entropies: dict[str, list[tuple[float, float]]] = {}
    for e in epochs:
        for name, value in (e.get("entropy") or {}).items():
            entropies.setdefault(name, []).append((float(e["epoch"]), float(value)))
    drawn = lines(entropies, title="mean entropy of the mix, nats")
    return Section("Search", [*_curves("search", epochs), *figure("entropy", drawn)])


def _trajectories(
    records: Sequence[Mapping[str, Any]], labels: Mapping[str, Sequence[str]]
) -> Section:
    """The mix epoch by epoch: the share of every operation, and the weights of every decision."""
    shares, weights = mix_over_time(records, labels)
    if not weights:
        return Section("How the mix developed", [])
    parts: list[Part] = []
    keyed: dict[tuple[str, ...], list[Figure]] = {}
    for table_name, series in shares.items():
        drawn = lines(series, title=f"mean share of each operation, {table_name}", from_zero=True)
        keyed.setdefault(tuple(series), []).extend(figure(f"shares {table_name}", drawn, key=False))
    for names, figures in keyed.items():  # charts of the same options stand under one key
        parts += [Key(names), Beside(figures)]
    decided = list(weights.items())[:MOST]
    keyed = {}
    for identity, series in decided:
        drawn = lines(series, title=identity, small=True, from_zero=True)
        keyed.setdefault(tuple(series), []).extend(figure(f"weights {identity}", drawn, key=False))
    inside: list[Part] = []
    for names, figures in keyed.items():
        inside += [Key(names), Beside(figures, small=True)]
    if rest := len(weights) - len(decided):
        inside.append(page.paragraph(f"{rest} further decisions are not drawn.", soft=True))
    parts.append(Folded(f"Weights of {len(decided)} decisions, epoch by epoch", inside))
    return Section("How the mix developed", parts)


def _health(report: Mapping[str, Any]) -> Section:
    found: dict[str, list[tuple[float, float]]] = {}
    for e in report["epochs"]:
        for name, value in (e.get("health") or {}).items():
            if isinstance(value, int | float):
                found.setdefault(name, []).append((float(e["epoch"]), float(value)))
    small: list[Figure] = []
    for n, v in found.items():
        small += figure(f"health {n}", lines({n: v}, title=n, small=True))
    notes = list(dict.fromkeys(e["health_note"] for e in report["epochs"] if e.get("health_note")))
    if not found and not notes:
        hint = "measure = entropy + skip_share + gap + gradient_match"
        said = page.paragraph(f"Nothing was measured; `{hint}` in a recipe does.", soft=True)
        return Section("Health", [said])
    return Section("Health", [*(page.note(n) for n in notes), Beside(small, small=True)])


def _retraining(report: Mapping[str, Any]) -> Section:
    return Section("Retraining", _curves("retraining", report["retrain_epochs"]))


def _cost(folder: RunFolder, report: Mapping[str, Any]) -> Section:
    run = folder.read("run.json")
    seconds = [float(e["seconds"]) for e in report["epochs"] if "seconds" in e]
    measuring = sum(float(e.get("health_seconds") or 0.0) for e in report["epochs"])
    rows = []
    if seconds:
        rows.append(["search", str(len(seconds)), duration(max(seconds)), f"{max(seconds):.1f}"])
    if measuring:
        rows.append(["health, on top", "", duration(measuring), f"{measuring:.1f}"])
    if report.get("retrain"):
        spent, epochs = float(report["retrain"]["seconds"]), report["retrain"].get("epochs", "")
        rows.append(["retraining", str(epochs), duration(spent), f"{spent:.1f}"])
    found = [
        ("device", f"{run.get('device')}, {run.get('threads')} threads"),
        ("versions", ", ".join(f"{k} {v}" for k, v in (run.get("versions") or {}).items())),
        ("space", f"digest {run.get('space_digest')}"),
        ("images", ", ".join(f"{k} {v}" for k, v in (run.get("fingerprints") or {}).items())),
    ]
    return Section(
        "What it cost, and how to repeat it",
        [
            Table("cost", rows, ["", "epochs", "time", "seconds"]),
            page.facts(found),
            page.code(f"nasdsl run {report['path']} -o again"),
            page.paragraph(
                "The folder holds every source it was compiled from; the same versions on the "
                "same device repeat it bit for bit.",
                soft=True,
            ),
        ],
    )
