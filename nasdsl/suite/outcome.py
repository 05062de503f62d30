"""Results for the statistics, and where a suite stands: both from the store alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from nasdsl.ir.config import show
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.estimate import RATE
from nasdsl.suite.statistics.factors import DIMENSIONS, Factor, Reported, factors
from nasdsl.suite.statistics.results import Result, Results
from nasdsl.suite.store import Stored
from nasdsl.suite.table import is_lower
from nasdsl.suite.work import value_of


def results_of(about: Mapping[str, Any], stored: Sequence[Stored]) -> Results:
    """The values that a suite reports, one for every retraining that is done and was picked."""
    measure = about["measure"]
    chosen = _chosen(about, stored)
    rows = []
    for s in stored:
        if s.cell.kind != "retrain" or s.result is None:
            continue
        if chosen is not None and s.cell.digest not in chosen:
            continue
        names = s.cell.names
        rows.append(
            Result(
                optimizer=names["optimizer"],
                benchmark=names["benchmark"],
                setting=names["setting"],
                seed="" if chosen is not None else names["seed"],
                value=value_of(s.result, measure),
            )
        )
    return Results(
        rows=tuple(rows),
        measure=measure,
        higher=not is_lower(measure),
        optimizers=tuple(about["optimizers"]),
        benchmarks=tuple(about["benchmarks"]),
    )


def reported_of(about: Mapping[str, Any], stored: Sequence[Stored]) -> list[Reported]:
    """The same values, each by all that it depends on. None of suites of an earlier version."""
    measure, chosen = about["measure"], _chosen(about, stored)
    found = []
    for s in stored:
        if s.cell.kind != "retrain" or s.result is None or "split" not in s.cell.names:
            continue
        if chosen is not None and s.cell.digest not in chosen:
            continue
        names = {d: s.cell.names[d] for d in DIMENSIONS}
        if chosen is not None:
            names["seed"] = ""
        found.append(
            Reported(
                names=names,
                changes=_changes(s.cell.order),
                value=value_of(s.result, measure),
            )
        )
    return found


def factors_of(about: Mapping[str, Any], stored: Sequence[Stored]) -> list[Factor]:
    """What a suite asks for `by`: each factor with its levels, as far as results allow."""
    rows = reported_of(about, stored)
    higher = not is_lower(about["measure"])
    return [
        factor
        for name, k in about.get("by") or ()
        for factor in factors(rows, name, higher=higher, k=k)
    ]


def _changes(order: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What calls changed, by the dimension whose label it is part of."""
    found: dict[str, dict[str, str]] = {"optimizer": {}, "split": {}, "setting": {}}
    found["space"] = {k: _plain(v) for k, v in order["parameters"].items()}
    for key, value in order["changes"].items():
        head, _, rest = key.partition(".")
        if head in ("split", "train") and rest:
            found["setting" if head == "train" else "split"][rest] = _plain(value)
        else:
            found["optimizer"][key] = _plain(value)
    return found


def _plain(value: str) -> str:
    """`1/40` as `0.025`: numbers as labels have them."""
    try:
        return show(Fraction(value))
    except (ValueError, ZeroDivisionError):
        return value


def _chosen(about: Mapping[str, Any], stored: Sequence[Stored]) -> set[str] | None:
    """Retrainings that were picked, where a suite picks among them."""
    how, measure = about["choose"]
    if how == "all" or not measure.startswith("retrain."):
        return None
    return {s.result["picked"] for s in stored if s.cell.kind == "pick" and s.result is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a suite stands.

    `counts` by kind and state; `held` are cells that wait for a failed one; `left` seconds of one
    process for what is not done, by the rate of what is (or a given one), None where unknown.
    """

    counts: Mapping[tuple[str, str], int]
    failed: tuple[Stored, ...]
    running: tuple[Stored, ...]
    held: int
    seconds: float
    left: float | None
    measured: bool


def standing(stored: Sequence[Stored]) -> Standing:
    """Where a suite stands."""
    by = {s.cell.digest: s for s in stored}
    lost: set[str] = {s.cell.digest for s in stored if s.state == "failed"}
    held = 0
    for s in stored:  # in order: what is needed comes first
        if s.state != "done" and s.cell.digest not in lost and lost & set(s.cell.needs):
            lost.add(s.cell.digest)
            held += 1
    for s in stored:
        for needed in s.cell.needs:
            if needed not in by:
                raise SuiteError(f"{s.cell.title} needs a cell that is not there")
    rate, measured = rate_of(stored)
    works = [
        s.cell.estimate.get("work") for s in stored if s.state != "done" and s.cell.kind != "pick"
    ]
    left = None if any(w is None for w in works) else sum(w for w in works if w) / rate
    return Standing(
        counts=Counter((s.cell.kind, s.state) for s in stored),
        failed=tuple(s for s in stored if s.state == "failed"),
        running=tuple(s for s in stored if s.state == "running"),
        held=held,
        seconds=sum(s.seconds or 0.0 for s in stored),
        left=left,
        measured=measured,
    )


def rate_of(stored: Sequence[Stored]) -> tuple[float, bool]:
    """Multiply-adds per second of a process: measured on what is done, else a fixed one."""
    done = [
        (s.cell.estimate["work"], s.seconds)
        for s in stored
        if s.state == "done" and s.cell.estimate.get("work") and s.seconds
    ]
    seconds = sum(t for _, t in done)
    return (sum(w for w, _ in done) / seconds, True) if seconds else (RATE, False)
