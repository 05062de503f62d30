"""What the searches of a suite found: the architectures, what they cost and what they are worth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasdsl.diagnostics.model import CompileError
from nasdsl.ir import cost
from nasdsl.ir.genotype import Genotype, loads
from nasdsl.report.charts.front import front
from nasdsl.report.html import page
from nasdsl.report.html.parts import (
    Beside,
    Drawing,
    Figure,
    Folded,
    Key,
    Part,
    Section,
    Table,
    figure,
)
from nasdsl.report.html.run_page import cell_drawings
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.store import Stored
from nasdsl.suite.work import value_of
from nasdsl.training.archive import reopen
from nasdsl.training.plan import Plan
from nasdsl.training.record import RunFolder

#: Architectures that are drawn, one for every optimizer and benchmark.
MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A retrained architecture and the operations in it.

    `macs` and `drawings` are missing where it cannot be built anew.
    """

    stored: Stored
    operations: Sequence[str]
    macs: int | None
    drawings: Sequence[Drawing]

    @property
    def key(self) -> tuple[str, str]:
        """Its benchmark and its optimizer."""
        return self.stored.cell.names["benchmark"], self.stored.cell.names["optimizer"]


def networks(folder: SuiteFolder, stored: Sequence[Stored]) -> list[Network]:
    """Every architecture that was retrained; the first of each optimizer and benchmark is drawn."""
    plans: dict[tuple[str, str], Plan | None] = {}
    found: list[Network] = []
    for s in stored:
        if s.cell.kind != "retrain" or s.state != "done":
            continue
        key = s.cell.names["benchmark"], s.cell.names["optimizer"]
        first = key not in plans
        place = RunFolder(folder.cell(s.cell.digest))
        if first:
            plans[key] = _plan(place)
        genotype = _genotype(place)
        macs, drawings = _built(plans[key], genotype, draw=first and len(plans) <= MOST)
        labels = [label for _, label in genotype.picks] if genotype is not None else []
        found.append(Network(stored=s, operations=labels, macs=macs, drawings=drawings))
    return found


def _plan(place: RunFolder) -> Plan | None:
    try:
        return reopen(place)
    except (CompileError, ValueError, KeyError, TypeError, OSError):
        return None


def _genotype(place: RunFolder) -> Genotype | None:
    try:
        return loads(json.dumps(place.read("genotype.json")))
    except (ValueError, KeyError, TypeError, OSError):
        return None


def _built(
    plan: Plan | None, genotype: Genotype | None, *, draw: bool
) -> tuple[int | None, Sequence[Drawing]]:
    if plan is None or genotype is None:
        return None, ()
    try:
        space = plan.space(genotype)
    except (CompileError, ValueError, KeyError, TypeError, OSError):
        return None, ()
    macs = cost.of_network(space.target).macs
    return macs, cell_drawings(space, genotype) if draw else ()


def architectures(found: Sequence[Network]) -> Section:
    """What was found, and which operations are in it."""
    parts: list[Part] = [*_operations(found)]
    for n in found:
        if not n.drawings:
            continue
        title = f"{n.key[1]} on {n.key[0]}"
        text = str((n.stored.result or {}).get("genotype", ""))
        named = [Drawing(f"{title} {d.name}", d.svg) for d in n.drawings]
        parts.append(Folded(title, [*named, page.code(text)]))
    return Section("Architectures", parts)


def _operations(found: Sequence[Network]) -> Iterator[Part]:
    """The share of each operation among the picks of an optimizer, over all it found."""
    counts: dict[str, dict[str, int]] = {}
    for n in found:
        for label in n.operations:
            of = counts.setdefault(n.key[1], {})
            of[label] = of.get(label, 0) + 1
    labels = list(dict.fromkeys(label for of in counts.values() for label in of))
    if not labels or len(labels) > 24:
        return
    rows, shades = [], []
    for optimizer, of in counts.items():
        total = sum(of.values())
        shares = [100 * of.get(label, 0) / total for label in labels]
        rows.append([optimizer, *(f"{s:.0f}" for s in shares)])
        shades.append([None, *(s / 100 for s in shares)])
    yield page.paragraph("Of all that an optimizer picked, each operation in per cent:", soft=True)
    yield Table("operations", rows, ["", *labels], shades)


def fronts(
    about: Mapping[str, Any], found: Sequence[Network], stored: Sequence[Stored], *, higher: bool
) -> Section:
    """Accuracy against what it costs: parameters, multiply-adds, seconds of search."""
    searched = _search_seconds(stored)
    measure = str(about["measure"])
    columns: dict[str, list[tuple[str, str, float, float]]] = {}
    for n in found:
        result = n.stored.result or {}
        benchmark, optimizer = n.key
        try:
            value = value_of(result, measure)
        except SuiteError:
            continue
        costs = {
            "parameters": result.get("params"),
            "multiply-adds": n.macs,
            "seconds of search": searched.get(n.key),
        }
        for name, amount in costs.items():
            if amount:
                columns.setdefault(name, []).append((benchmark, optimizer, float(amount), value))
    drawn: list[Figure] = []
    order = list(about["optimizers"])
    for name, rows in columns.items():
        flat = [
            (o, sum(c for c, _ in group) / len(group), sum(v for _, v in group) / len(group))
            for (_, o), group in _grouped(rows).items()
        ]
        chart = front(flat, across=name, up=measure, higher=higher, order=order)
        drawn += figure(f"front {name}", chart, key=False)
    if not drawn:
        return Section("Accuracy and cost", [])
    said = (
        "A point is an optimizer on a benchmark, the mean of its retrained networks; ringed points "
        "are beaten by none that costs as little. Benchmarks differ in how hard they are."
    )
    parts: list[Part] = [page.paragraph(said, soft=True), Key(order), Beside(drawn)]
    return Section("Accuracy and cost", parts)


def _search_seconds(stored: Sequence[Stored]) -> dict[tuple[str, str], float]:
    times: dict[tuple[str, str], list[float]] = {}
    for s in stored:
        if s.cell.kind == "search" and s.seconds is not None:
            key = s.cell.names["benchmark"], s.cell.names["optimizer"]
            times.setdefault(key, []).append(s.seconds)
    return {key: sum(values) / len(values) for key, values in times.items()}


def _grouped(
    rows: Sequence[tuple[str, str, float, float]],
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    made: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for benchmark, optimizer, cost_, value in rows:
        made.setdefault((benchmark, optimizer), []).append((cost_, value))
    return made
