"""What a recipe measured of its search, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nasdsl.report.columns import indent, table, wrap

#: Epochs of a log that are shown as text; of more, evenly spaced ones.
SHOWN = 24

#: Heads of columns that have to fit beside each other in 80 columns.
_HEADS = {"gradient_match": "grad. match", "skip_share": "skip share"}


def spaced(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All of a short log, evenly spaced ones of a long one; first and last always."""
    if len(records) <= SHOWN:
        return list(records)
    last = len(records) - 1
    return [records[round(i * last / (SHOWN - 1))] for i in range(SHOWN)]


def health_lines(epochs: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """A row per epoch that was measured, a column per measurement; nothing where none was."""
    measured = [e for e in epochs if e.get("health")]
    notes = list(dict.fromkeys(e["health_note"] for e in epochs if e.get("health_note")))
    if not measured:
        return ["", *wrap(notes[0], width=width, first="health  not measured: ")] if notes else []
    names = list(dict.fromkeys(name for e in measured for name in e["health"]))
    rows = [
        [str(e["epoch"]), *(_shown(e["health"].get(name)) for name in names)]
        for e in spaced(measured)
    ]
    seconds = sum(e.get("health_seconds") or 0.0 for e in measured)
    head = ["epoch", *(_HEADS.get(name, name) for name in names)]
    title = f"health  (on one batch; measuring took {seconds:.1f} s)"
    return ["", title, *indent(table(rows, header=head, right=range(len(head))))]


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if abs(value) >= 1000 or 0 < abs(value) < 0.001 else f"{value:.3f}"
