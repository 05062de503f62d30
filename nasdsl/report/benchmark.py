"""A benchmark's record of an architecture, as data and as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasdsl.benchmarks.record import Record
from nasdsl.benchmarks.standing import Standing
from nasdsl.report.columns import number, pairs, short


def benchmark_report(record: Record, standing: Standing | None = None) -> dict[str, Any]:
    """The record and, under `standing`, its place in the table."""
    return record.as_json() | {"standing": None if standing is None else standing.as_json()}


def benchmark_lines(report: Mapping[str, Any], width: int = 80) -> list[str]:
    """`name  value` lines of a report; what the benchmark has not is left out."""
    facts = [
        ("architecture", report["key"]),
        ("data", f"{report['dataset']}, {report['setting']}"),
        ("test", _test(report)),
        ("validation", _value(report["validation"], report)),
        ("rank", "" if report["standing"] is None else _rank(report["standing"])),
        ("parameters", "" if report["params"] is None else number(report["params"])),
        ("flops", _flops(report)),
        ("training", _seconds(report["train_seconds"])),
        *(("note", note) for note in report["notes"]),
    ]
    what = "a surrogate's prediction" if report["predicted"] else "trained by its authors"
    return [f"benchmark {report['benchmark']}  ({what})", *pairs(facts, width=width)]


def _value(value: float | None, report: Mapping[str, Any]) -> str:
    if value is None:
        return ""
    if report["metric"] == "accuracy":
        return f"{value:.2f} %"
    return f"{value:.4f} {report['metric']}"


def _test(report: Mapping[str, Any]) -> str:
    text = _value(report["mean"], report)
    runs = report["test"]
    if len(runs) < 2:
        return text
    each = ", ".join(f"{t:.2f}" for t in runs)
    return f"{text}, std {report['std']:.2f} over {len(runs)} runs ({each})"


def _rank(standing: Mapping[str, Any]) -> str:
    text = f"{number(standing['rank'])} of {number(standing['of'])} by {standing['column']}"
    ties = standing["ties"]
    if ties:
        text += f", level with {ties} other{'s' * (ties != 1)}"
    return f"{text}; better than {standing['above']:.2f} %"


def _flops(report: Mapping[str, Any]) -> str:
    if report["flops"] is None:
        return ""
    flops = round(report["flops"])
    return f"{number(flops)} ({short(flops)}) {report['flops_unit']}".rstrip()


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:,.0f} s"
