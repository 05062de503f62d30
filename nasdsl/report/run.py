"""A run: how it went epoch by epoch, what the alphas say, what was found and how good it is.

Unfinished runs are reported as far as they got.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasdsl.ir.space import Space
from nasdsl.report.benchmark import benchmark_lines, benchmark_report
from nasdsl.report.columns import indent, number, pairs, percent, table, wrap
from nasdsl.report.health import health_lines, spaced

SCHEMA = 1


def run_report(path: Path | str) -> dict[str, Any]:
    """The report of a run folder. Raises RunError where it is none."""
    from nasdsl.training.record import RunFolder, read_log

    folder = RunFolder(Path(path))
    retrain_log = folder.path / "retrain" / "log.jsonl"
    space = _space(folder)
    result = folder.read("result.json") if folder.has("result.json") else None
    report = report_of(
        folder.read("run.json"),
        read_log(folder.log) if folder.log.is_file() else [],
        result,
        read_log(retrain_log) if retrain_log.is_file() else [],
        folder.read("retrain/result.json") if folder.has("retrain/result.json") else None,
        path=str(path),
        labels=labels_of(space),
    )
    return report | {"benchmark": _benchmark(space, result)}


def run_text(path: Path | str, width: int = 80) -> str:
    """The report of a run folder as text. Raises RunError."""
    return text_of(run_report(path), width)


def report_of(
    run: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    result: Mapping[str, Any] | None = None,
    retrain_log: Sequence[Mapping[str, Any]] = (),
    retrain: Mapping[str, Any] | None = None,
    *,
    path: str = "",
    labels: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """The report of what a run wrote down; nothing but `run` has to be there yet.

    `labels` are the options of every decision; without them they are called by number.
    """
    newest = log[-1] if log else {}
    found = result or {}
    mix = found.get("mix") or newest.get("mix") or {}
    genotype = found.get("genotype") or {}
    # Of an edited supernet options may be gone and edges may have weights.
    labels = {**(labels or {}), **(found.get("labels") or newest.get("labels") or {})}
    return {
        "schema": SCHEMA,
        "path": path,
        "status": run.get("status", "unknown"),
        "run": {k: run.get(k) for k in _RUN if k in run},
        "epochs": [_epoch(r) for r in log],
        "mix": {t: _rows(t, rows, labels, genotype) for t, rows in mix.items()},
        "shares": {t: shares(rows, labels) for t, rows in mix.items()},
        "entropy": {
            t: sum(map(entropy, rows.values())) / len(rows) for t, rows in mix.items() if rows
        },
        "genotype": found.get("text") or newest.get("genotype"),
        "picks": genotype.get("picks"),
        "finished_search": result is not None,
        "tried": found.get("tried") or [],
        "valid": found.get("valid"),
        "valid_discrete": found.get("valid_discrete"),
        "discretization_gap": found.get("discretization_gap"),
        "warnings": found.get("warnings") or [],
        "retrain_epochs": [_epoch(r) for r in retrain_log],
        "retrain": dict(retrain) if retrain is not None else None,
    }


_RUN = (
    "items",
    "parameters",
    "changes",
    "seed",
    "data",
    "device",
    "profile",
    "precision",
    "accumulate",
    "environment",
    "space_digest",
    "architectures",
    "started",
    "ended",
)


def _epoch(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        k: record.get(k)
        for k in (
            "epoch",
            "step",
            "train",
            "valid",
            "entropy",
            "lr",
            "seconds",
            "genotype",
            "health",
            "health_seconds",
            "health_note",
        )
        if k in record
    }


# ---- alphas


def _space(folder: Any) -> Space | None:
    """The space of a run, from its sources; nothing where they are damaged."""
    from nasdsl.diagnostics.model import CompileError
    from nasdsl.training.archive import reopen

    try:
        return reopen(folder).space()
    except (CompileError, ValueError, KeyError, TypeError, OSError):
        return None


def labels_of(space: Space | None) -> dict[str, list[str]]:
    """Options of every decision."""
    from nasdsl.report.space import every

    return {} if space is None else {d.id: list(d.labels) for d in every(space.decisions).values()}


def _benchmark(space: Space | None, result: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the benchmark of a space knows of what was found, if it comes with nasdsl."""
    import json

    from nasdsl.benchmarks.catalogue import built_in
    from nasdsl.ir.genotype import loads

    if space is None or not result or not result.get("genotype"):
        return None
    found = built_in(space, loads(json.dumps(result["genotype"])))
    if found is None:
        return None
    return benchmark_report(*found)


def _rows(
    name: str,
    rows: Mapping[str, Sequence[float]],
    labels: Mapping[str, Sequence[str]],
    genotype: Mapping[str, Any],
) -> list[dict[str, Any]]:
    picked: dict[str, list[str]] = {}
    for identity, label in genotype.get("picks") or []:
        picked.setdefault(identity, []).append(label)
    made = []
    for identity, weights in rows.items():
        names = _names(identity, weights, labels)
        finite = [w if not math.isnan(w) else -math.inf for w in weights]
        largest = finite.index(max(finite)) if finite else None
        made.append(
            {
                "decision": identity,
                "edge": identity.removeprefix(f"{name}/"),
                "labels": names,
                "weights": list(weights),
                "largest": None if largest is None else names[largest],
                "picked": picked.get(identity, []),
                "entropy": entropy(weights),
            }
        )
    return made


def _names(
    identity: str, weights: Sequence[float], labels: Mapping[str, Sequence[str]]
) -> list[str]:
    known = list(labels.get(identity, ()))
    if len(known) == len(weights):
        return known
    return [f"option {i}" for i in range(1, len(weights) + 1)]


def shares(
    rows: Mapping[str, Sequence[float]], labels: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Mean weight of each label over the decisions that offer it."""
    sums: dict[str, tuple[float, int]] = {}
    for identity, weights in rows.items():
        if identity.endswith("<-+"):  # weights of edges are no options
            continue
        for label, weight in zip(_names(identity, weights, labels), weights, strict=True):
            total, count = sums.get(label, (0.0, 0))
            sums[label] = (total + weight, count + 1)
    return {label: total / count for label, (total, count) in sums.items()}


def entropy(weights: Sequence[float]) -> float:
    """Entropy in nats of the weights, normalised to sum 1."""
    from nasdsl.ir.discretize import entropy as of

    return of(weights)


# ---- text


def text_of(report: Mapping[str, Any], width: int = 80) -> str:
    """A report as text."""
    lines = [f"run {report['path']}: {report['status']}".replace(" :", ":"), ""]
    lines += pairs(_facts(report["run"]), width=width)
    lines += ["", *_search_text(report)]
    lines += health_lines(report["epochs"], width)
    for name, rows in report["mix"].items():
        lines += ["", *_mix_text(name, rows, width)]
    if report["shares"]:
        lines += ["", *_shares_text(report)]
    lines += ["", *_found_text(report, width)]
    if report["retrain_epochs"] or report["retrain"]:
        lines += ["", *_retrain_text(report, width)]
    if report.get("benchmark"):
        lines += ["", *benchmark_lines(report["benchmark"], width)]
    return "\n".join(lines) + "\n"


def _facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    items = run.get("items") or {}
    facts = [(kind, f"{i['name']}  ({i['file']})") for kind, i in items.items()]
    changed = {**(run.get("parameters") or {}), **(run.get("changes") or {})}
    if changed:
        facts.append(("changed", ", ".join(f"{k} = {v}" for k, v in changed.items())))
    facts.append(("seed", str(run.get("seed", ""))))
    facts.append(("device", str(run.get("device") or "")))
    if run.get("profile"):
        facts.append(("profile", str(run["profile"])))
    if run.get("precision"):
        facts.append(("precision", str(run["precision"])))
    if run.get("accumulate"):
        facts.append(("batches", f"in {run['accumulate']} parts"))
    times = [str(run[k]) for k in ("started", "ended") if run.get(k)]
    facts.append(("time", " to ".join(times)))
    return facts


def _search_text(report: Mapping[str, Any]) -> list[str]:
    epochs = report["epochs"]
    if not epochs:
        return ["search: no epoch is finished"]
    tables = list(epochs[-1].get("entropy") or {})
    head = ["epoch", "train loss", "accuracy", "valid loss", "accuracy"]
    if len(tables) <= 3:
        head += [f"H({t})" for t in tables]
    else:
        head += ["mean H"]
    rows = []
    for record in spaced(epochs):
        entropies = record.get("entropy") or {}
        shown = [f"{entropies[t]:.3f}" if t in entropies else "" for t in tables]
        if len(tables) > 3:
            shown = [f"{sum(entropies.values()) / max(1, len(entropies)):.3f}"]
        rows.append([str(record.get("epoch", "")), *_measured(record), *shown])
    lines = ["search  (H: mean entropy of a table's rows, in nats)" if tables else "search"]
    return lines + indent(table(rows, header=head, right=range(len(head))))


def _measured(record: Mapping[str, Any]) -> list[str]:
    shown = []
    for part in ("train", "valid"):
        values = record.get(part) or {}
        loss, accuracy = values.get("loss"), values.get("accuracy")
        shown += ["" if loss is None else f"{loss:.4f}", percent(accuracy)]
    return shown


def _mix_text(name: str, rows: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """A row per edge, a column per option; the largest weight is marked."""
    lines = [f"mix of {name}  (* largest)"]
    sets = list(dict.fromkeys(tuple(r["labels"]) for r in rows))
    any_picked = any(r["picked"] for r in rows)
    if len(sets) == 1:
        keys = _keys(sets[0])
        if keys != list(sets[0]):
            legend = ", ".join(f"{k}={label}" for k, label in zip(keys, sets[0], strict=True))
            lines += wrap(legend, width=width, first="  ")
        named = dict(zip(sets[0], keys, strict=True))
        body = []
        for r in rows:
            cells = [_weight(w, label == r["largest"]) for w, label in _zip(r)]
            chosen = " + ".join(named.get(label, label) for label in r["picked"])
            body.append([r["edge"], *cells, *([chosen] if any_picked else [])])
        head = ["", *(f"{k} " for k in keys), *(["chosen"] if any_picked else [])]
        right = range(1, len(keys) + 1)
        return lines + indent(table(body, header=head, right=right))
    left = max((len(r["edge"]) for r in rows), default=0) + 2
    for r in rows:
        shown = ", ".join(
            f"{label} {_weight(w, label == r['largest']).strip()}" for w, label in _zip(r)
        )
        lines += wrap(shown, width=width, first=f"  {r['edge']:<{left}}")
    return lines


def _zip(row: Mapping[str, Any]) -> list[tuple[float, str]]:
    return list(zip(row["weights"], row["labels"], strict=True))


def _weight(weight: float, largest: bool) -> str:
    return f"{weight:.3f}" + ("*" if largest else " ")


def _keys(labels: Sequence[str]) -> list[str]:
    """Labels where they are short, else letters."""
    if sum(len(label) + 2 for label in labels) <= 48:
        return list(labels)
    return [chr(ord("a") + i) if i < 26 else str(i + 1) for i in range(len(labels))]


def _shares_text(report: Mapping[str, Any]) -> list[str]:
    tables = list(report["shares"])
    labels = list(dict.fromkeys(label for s in report["shares"].values() for label in s))
    if len(tables) > 5:
        tables = tables[:5]
    rows = []
    for label in labels:
        each = [report["shares"][t].get(label) for t in tables]
        rows.append([label, *("" if s is None else f"{100 * s:.1f} %" for s in each)])
    rows.append(["entropy", *(f"{report['entropy'].get(t, 0.0):.3f}" for t in tables)])
    lines = ["shares  (mean weight of an option over a table's rows)"]
    return lines + indent(table(rows, header=["", *tables], right=range(1, len(tables) + 1)))


def _found_text(report: Mapping[str, Any], width: int) -> list[str]:
    if report["genotype"] is None:
        return ["genotype: none yet"]
    what = "genotype" if report["finished_search"] else "genotype so far"
    lines = [what, *wrap(str(report["genotype"]), width=width, first="  ")]
    rows = []
    tried = len({t["text"] for t in report["tried"]})
    for key, name in (
        ("valid", "supernet"),
        ("valid_discrete", f"best of {tried} trained" if tried else "one-hot supernet"),
    ):
        if report[key]:
            rows.append((name, f"{percent(report[key]['accuracy'])} on search.valid"))
    gap = report["discretization_gap"]
    if gap is not None:
        rows.append(("discretization gap", f"{gap:.2f} points"))
    rows += [("warning", warning) for warning in report.get("warnings") or ()]
    return lines + (["", *pairs(rows, width=width)] if rows else [])


def _retrain_text(report: Mapping[str, Any], width: int) -> list[str]:
    epochs, result = report["retrain_epochs"], report["retrain"]
    lines = ["retraining" if result else f"retraining: {len(epochs)} epochs so far"]
    if epochs:
        has_valid = any(r.get("valid") for r in epochs)
        head = ["epoch", "train loss", "accuracy", *(["valid loss", "accuracy"] * has_valid)]
        rows = [[str(r.get("epoch", "")), *_measured(r)[: len(head) - 1]] for r in spaced(epochs)]
        lines += indent(table(rows, header=head, right=range(len(head))))
    if result:
        facts = []
        for part in ("valid", "test"):
            if result.get(part):
                facts.append((part, f"{percent(result[part]['accuracy'])}"))
        if result.get("params") is not None:
            facts.append(("parameters", number(int(result["params"]))))
        facts.append(("epochs", str(result.get("epochs", ""))))
        lines += ["", *pairs(facts, width=width)]
    return lines
