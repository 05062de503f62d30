"""Runs beside each other: a list, the difference of two, the results of many by what they ran."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nasdsl.report.columns import indent, table, wrap
from nasdsl.training.changed import circumstances, lines
from nasdsl.training.record import RunError, RunFolder, read_log

SCHEMA = 1
WIDTH = 80
#: What is told of two runs as a result, and where it stands.
_RESULTS = (
    ("valid", "result.json", ("valid", "accuracy"), "supernet, % on search.valid"),
    ("one_hot", "result.json", ("valid_discrete", "accuracy"), "one-hot, % on search.valid"),
    ("gap", "result.json", ("discretization_gap",), "discretization gap, points"),
    ("test", "retrain/result.json", ("test", "accuracy"), "retrained, % on test"),
    ("params", "retrain/result.json", ("params",), "parameters of the network"),
    ("seconds", "result.json", ("seconds",), "seconds of the search"),
)


def found(places: Sequence[Path]) -> list[Path]:
    """Run folders: those given, and those right inside of folders that are none."""
    runs: list[Path] = []
    for place in places:
        if (place / "run.json").is_file():
            runs.append(place)
        elif place.is_dir():
            runs += sorted(p for p in place.iterdir() if (p / "run.json").is_file())
    return list(dict.fromkeys(runs))


def summary(path: Path) -> dict[str, Any]:
    """What a run is and what came of it; `error` where it cannot be read."""
    folder = RunFolder(path)
    try:
        order = folder.read("run.json")
        results = _results(folder)
    except RunError as error:
        return {"path": str(path), "status": "damaged", "error": str(error)}
    items = {k: i["name"] for k, i in (order.get("items") or {}).items()}
    changed = {**(order.get("parameters") or {}), **(order.get("changes") or {})}
    return {
        "path": str(path),
        "status": order.get("status", "unknown"),
        **{k: items.get(k, "") for k in ("space", "recipe", "dataset", "split", "train")},
        "changed": changed,
        "seed": order.get("seed"),
        "epochs": len(read_log(folder.log)) if folder.log.is_file() else 0,
        "started": order.get("started", ""),
        "genotype": folder.read("result.json").get("text") if folder.has("result.json") else None,
        "results": results,
    }


def _results(folder: RunFolder) -> dict[str, float]:
    """The numbers of a run by name. Raises RunError."""
    files = {
        name: folder.read(name)
        for name in ("result.json", "retrain/result.json")
        if folder.has(name)
    }
    numbers = {}
    for name, file, keys, _ in _RESULTS:
        value: Any = files.get(file)
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            numbers[name] = value
    return numbers


# ---- list


def list_report(places: Sequence[Path]) -> dict[str, Any]:
    """Every run in some folders."""
    return {"schema": SCHEMA, "runs": [summary(path) for path in found(places)]}


def list_text(report: Mapping[str, Any], width: int = WIDTH) -> str:
    """A list of runs as text."""
    if not report["runs"]:
        return "no runs\n"
    rows = []
    for run in report["runs"]:
        results = run.get("results") or {}
        rows.append(
            [
                _short(run["path"], 26),
                run["status"],
                _short(f"{run.get('recipe', '')}", 14),
                str(run.get("epochs", "")),
                _number(results.get("valid")),
                _number(results.get("test")),
                str(run.get("started", ""))[:10],
            ]
        )
    head = ["run", "status", "recipe", "ep.", "valid %", "test %", "started"]
    return "\n".join(table(rows, header=head, right=(3, 4, 5))) + "\n"


def _short(text: str, length: int) -> str:
    """The end of a text that is too long: names of runs differ there."""
    return text if len(text) <= length else "..." + text[3 - length :]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


# ---- difference


def difference_report(a: Path, b: Path) -> dict[str, Any]:
    """What differs between two runs: settings, results, architectures. Raises RunError.

    `environment` is how and where they were made, which changes last digits.
    """
    folders = RunFolder(a), RunFolder(b)
    orders = [f.read("run.json") for f in folders]
    one, two = (_results(f) for f in folders)
    return {
        "schema": SCHEMA,
        "a": str(a),
        "b": str(b),
        "settings": _apart(*(dict(lines(order)) for order in orders)),
        "environment": _apart(*(dict(circumstances(order)) for order in orders)),
        "results": {
            name: {"a": one.get(name), "b": two.get(name)}
            for name, *_ in _RESULTS
            if name in one or name in two
        },
        "architecture": _architectures(*folders),
    }


def _apart(left: Mapping[str, str], right: Mapping[str, str]) -> list[dict[str, str | None]]:
    """What differs between values by name."""
    return [
        {"name": name, "a": left.get(name), "b": right.get(name)}
        for name in dict.fromkeys((*left, *right))
        if left.get(name) != right.get(name)
    ]


def _architectures(a: RunFolder, b: RunFolder) -> dict[str, Any] | None:
    """Picks that only one of the genotypes has; None where a search has not ended."""
    if not (a.has("result.json") and b.has("result.json")):
        return None
    left, right = (
        {tuple(p) for p in f.read("result.json").get("genotype", {}).get("picks", ())}
        for f in (a, b)
    )
    return {
        "same": left == right,
        "a": [list(p) for p in sorted(left - right)],
        "b": [list(p) for p in sorted(right - left)],
    }


def difference_text(report: Mapping[str, Any], width: int = WIDTH) -> str:
    """The difference of two runs as text."""
    made = [f"a  {report['a']}", f"b  {report['b']}", ""]
    if not report["settings"]:
        made.append("settings: the same")
    for part in ("settings", "environment"):
        if part == "environment" and report[part]:
            made.append("")
        made += [part] if report[part] else []
        for each in report[part]:
            made.append(f"  {each['name']}")
            for side in ("a", "b"):
                value = "-" if each[side] is None else str(each[side])
                made += wrap(value, width=width, first=f"    {side}  ")
    if report["results"]:
        names = {name: text for name, _, _, text in _RESULTS}
        rows = []
        for name, pair in report["results"].items():
            a, b = pair["a"], pair["b"]
            change = f"{b - a:+.2f}" if a is not None and b is not None else ""
            rows.append([names[name], _number(a), _number(b), change])
        made += [
            "",
            "results",
            *indent(table(rows, header=["", "a", "b", "b - a"], right=(1, 2, 3))),
        ]
    found = report["architecture"]
    if found is not None:
        made.append("")
        if found["same"]:
            made.append("architecture: the same")
        else:
            made.append("architecture")
            for side in ("a", "b"):
                for decision, label in found[side]:
                    made += wrap(f"{decision}  {label}", width=width, first=f"  {side}  ")
    return "\n".join(made) + "\n"


# ---- comparison


def compare_report(places: Sequence[Path]) -> dict[str, Any]:
    """Results by what was run, over seeds: mean, deviation, number. Raises RunError."""
    runs = [summary(path) for path in found(places)]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in runs:
        if "error" in run:
            raise RunError(run["error"])
        key = (
            *(run[k] for k in ("space", "recipe", "dataset", "split", "train")),
            tuple(sorted(run["changed"].items())),
        )
        groups.setdefault(key, []).append(run)
    made = []
    for key, members in groups.items():
        made.append(
            {
                **dict(zip(("space", "recipe", "dataset", "split", "train"), key, strict=False)),
                "changed": dict(key[-1]),
                "runs": [m["path"] for m in members],
                "seeds": [m["seed"] for m in members],
                "unfinished": sum(m["status"] != "done" for m in members),
                "genotypes": len({m["genotype"] for m in members if m["genotype"]}),
                "results": {
                    name: moments(m["results"][name] for m in members if name in m["results"])
                    for name, *_ in _RESULTS
                    if any(name in m["results"] for m in members)
                },
            }
        )
    return {"schema": SCHEMA, "groups": made}


def moments(values: Iterable[float]) -> dict[str, float | int | None]:
    """Number, mean, and deviation with n - 1; None for the deviation of one."""
    listed = [float(v) for v in values]
    mean = math.fsum(listed) / len(listed)
    spread = (
        math.sqrt(math.fsum((v - mean) ** 2 for v in listed) / (len(listed) - 1))
        if len(listed) > 1
        else None
    )
    return {"n": len(listed), "mean": mean, "deviation": spread}


def compare_text(report: Mapping[str, Any], width: int = WIDTH) -> str:
    """A comparison as text."""
    if not report["groups"]:
        return "no runs\n"
    rows = []
    for group in report["groups"]:
        results = group["results"]
        rows.append(
            [
                _short(f"{group['space']} {group['recipe']}", 30),
                str(len(group["runs"])),
                _spread(results.get("valid")),
                _spread(results.get("one_hot")),
                _spread(results.get("test")),
                str(group["genotypes"]),
            ]
        )
    head = ["space recipe", "runs", "valid %", "one-hot %", "test %", "arch."]
    made = table(rows, header=head, right=(1, 2, 3, 4, 5))
    for group in report["groups"]:
        said = [f"data {group['dataset']}", f"split {group['split']}", f"train {group['train']}"]
        said += [f"{k} = {v}" for k, v in group["changed"].items()]
        said.append("seeds " + ", ".join(map(str, group["seeds"])))
        if group["unfinished"]:
            said.append(f"{group['unfinished']} unfinished")
        first = f"{_short(group['space'] + ' ' + group['recipe'], 30)}: "
        made += ["", *wrap(", ".join(said), width=width, first=first)]
    made += ["", "mean +- deviation over runs (n - 1); arch.: different architectures found"]
    return "\n".join(made) + "\n"


def _spread(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    if found["deviation"] is None:
        return f"{found['mean']:.2f}"
    return f"{found['mean']:.2f} +- {found['deviation']:.2f}"
