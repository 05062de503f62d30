"""What a suite would run and what it would cost; where a suite stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nasdsl.report.columns import indent, pairs, short, table, wrap
from nasdsl.suite.estimate import RATE
from nasdsl.suite.kept import Kept
from nasdsl.suite.outcome import Standing
from nasdsl.suite.planning import SuitePlan

STATES = ("done", "running", "pending", "failed")
KINDS = ("search", "pick", "retrain")


def plan_report(made: SuitePlan) -> dict[str, Any]:
    """Counts, totals and every cell."""
    kinds = Counter(str(c.kind) for c in made.cells)
    works = [c.estimate.get("work") for c in made.cells if c.kind != "pick"]
    work = None if any(w is None for w in works) else sum(w for w in works if w)
    return {
        "schema": 1,
        "suite": made.declared.name,
        "cells": {k: kinds.get(k, 0) for k in KINDS},
        "work_macs": work,
        "seconds_estimated": None if work is None else work / RATE,
        "bytes_at_most": max((c.estimate.get("bytes") or 0 for c in made.cells), default=0) or None,
        "list": [
            {
                "digest": c.digest,
                "kind": c.kind,
                "names": dict(c.names),
                "needs": list(c.needs),
                "estimate": dict(c.estimate),
            }
            for c in made.cells
        ],
    }


def plan_text(made: SuitePlan, width: int = 80) -> str:
    """The report of a plan as text."""
    d, report = made.declared, plan_report(made)
    counts = report["cells"]
    how, measure = d.choose
    facts = [
        (
            "cells",
            f"{len(made.cells)}: {counts['search']} searches, {counts['pick']} choices, "
            f"{counts['retrain']} retrainings",
        ),
        ("recipes", ", ".join(r.label for r in d.recipes)),
        ("data", ", ".join(x.label for x in d.datasets)),
        ("splits", ", ".join(x.label for x in d.splits)),
        ("seeds", ", ".join(map(str, d.seeds))),
        ("retrain", ", ".join(t.label for t in d.retrain)),
        ("choose", "all: every search is retrained" if how == "all" else f"{how}({measure})"),
        ("reported", d.measure),
        ("work", work_text(report["work_macs"])),
        ("time", _time(report["seconds_estimated"])),
        ("memory", _bytes(report["bytes_at_most"])),
    ]
    lines = [f"suite {d.name}", *pairs(facts, width=width), ""]
    rows = []
    for b in dict.fromkeys(c.names["benchmark"] for c in made.cells):
        of = [c for c in made.cells if c.names["benchmark"] == b]
        search = next((c.estimate for c in of if c.kind == "search"), {})
        retrain = next((c.estimate for c in of if c.kind == "retrain"), {})
        rows.append(
            [
                b,
                str(len(of)),
                _amount(search.get("params")),
                _amount(search.get("macs")),
                _bytes(max((c.estimate.get("bytes") or 0 for c in of), default=0) or None),
                _amount(retrain.get("params")),
                _amount(retrain.get("macs")),
            ]
        )
    head = ["", "cells", "supernet", "MACs", "memory", "largest", "MACs"]
    lines += indent(table(rows, header=head, right=range(1, 7)))
    lines += wrap(
        "upper estimates: every option of a supernet in every step; the largest network of a space; "
        "memory is that of activations kept for the backward pass, in one process",
        width=width,
        first="  ",
    )
    return "\n".join(lines) + "\n"


def work_text(work: int | None) -> str:
    return "unknown (the size of the data is not known)" if work is None else f"{work:.2e} multiply-adds at most"  # fmt: skip


def _amount(value: int | None) -> str:
    return "?" if value is None else short(value)


def _bytes(value: int | None) -> str:
    return "?" if value is None else f"{value / 1e9:.2f} GB"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return f"about {duration(seconds)} in one process, at {RATE:.1e} multiply-adds per second"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`, `12 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"


def status_report(found: Standing) -> dict[str, Any]:
    """Where a suite stands, as JSON."""
    return {
        "schema": 1,
        "cells": {k: {s: found.counts.get((k, s), 0) for s in STATES} for k in KINDS},
        "held": found.held,
        "seconds": found.seconds,
        "seconds_left": found.left,
        "failed": [
            {"digest": s.cell.digest, "title": s.cell.title, "error": s.error} for s in found.failed
        ],
        "running": [s.cell.title for s in found.running],
    }


def status_text(about: Mapping[str, Any], found: Standing, width: int = 80) -> str:
    """Where a suite stands, as text."""
    rows: list[Sequence[str]] = [
        [k, *(str(found.counts.get((k, s), 0)) for s in STATES)] for k in KINDS
    ]
    total = sum(found.counts.values())
    done = sum(n for (_, s), n in found.counts.items() if s == "done")
    lines = [f"suite {about['suite']}: {done} of {total} cells done"]
    lines += indent(table(rows, header=["", *STATES], right=range(1, 5)))
    facts = [("spent", duration(found.seconds))]
    if done < total:
        left = "unknown" if found.left is None else f"about {duration(found.left)} in one process"
        by = "" if found.left is None else (" (measured)" if found.measured else " (a guess yet)")
        facts.append(("left", left + by))
    if found.held:
        facts.append(("held up", f"{found.held} cells wait for failed ones"))
    lines += pairs(facts, width=width)
    for s in found.running:
        lines += wrap(s.cell.title, width=width, first="  running  ")
    for s in found.failed:
        lines += wrap(f"{s.cell.title}: {s.error}", width=width, first="  failed   ")
    return "\n".join(lines) + "\n"


def kept_report(found: Sequence[Kept]) -> dict[str, Any]:
    """The suites of a database, as JSON."""
    fields = ("suite", "name", "cells", "done", "failed")
    return {"schema": 1, "suites": [{f: getattr(k, f) for f in fields} for k in found]}


def kept_text(found: Sequence[Kept]) -> str:
    """The suites of a database, as text."""
    if not found:
        return "no suite yet\n"
    rows = [[k.name, k.suite, str(k.done), str(k.cells), str(k.failed)] for k in found]
    head = ["suite", "digest", "done", "cells", "failed"]
    return "\n".join(table(rows, header=head, right=range(2, 5))) + "\n"
