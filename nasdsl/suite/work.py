"""Doing one cell: a search, a choice, a retraining; resumed where an earlier attempt stopped.

What a cell gives is written to `outcome.json` in its folder before anyone is told, so that work is
not done again when the process dies in between.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nasdsl.driver import Loaded
from nasdsl.ir.genotype import loads
from nasdsl.suite.cell import Cell, Task
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.planning import run_plan
from nasdsl.training import index_lists
from nasdsl.training import run as runs
from nasdsl.training.data import inputs, splits
from nasdsl.training.environment import device_of
from nasdsl.training.loop import Teller, Watcher, silent
from nasdsl.training.record import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a cell is done with; none of it changes what comes out, except device and threads."""

    device: str = "cpu"
    threads: int | None = None
    data_dir: Path | None = None


def perform(
    folder: SuiteFolder,
    loaded: Loaded,
    task: Task,
    means: Means,
    watch: Watcher | None = None,
    tell: Teller = silent,
) -> dict[str, Any]:
    """The result of a cell; `tell` is told what was found damaged.

    Raises Stopped after a signal, and whatever is wrong.
    """
    place = RunFolder(folder.cell(task.cell.digest))
    try:
        return _performed(folder, place, loaded, task, means, watch, tell)
    finally:
        for note in (*place.notes, *folder.files.notes):
            tell(note)
        folder.files.notes.clear()


def _performed(
    folder: SuiteFolder,
    place: RunFolder,
    loaded: Loaded,
    task: Task,
    means: Means,
    watch: Watcher | None,
    tell: Teller,
) -> dict[str, Any]:
    cell = task.cell
    if (known := folder.outcome(cell.digest)) is not None:
        return known
    if cell.kind == "pick":
        made = picked(cell, task.before)
        place.write("outcome.json", made)
        return made
    plan = run_plan(loaded, cell.order)
    torch.set_num_threads(means.threads or runs.threads_for(plan))
    options = runs.Options(device=device_of(means.device), data_dir=means.data_dir, retrain=False)
    prepared = inputs.prepare(
        plan.dataset, plan.split, data_dir=means.data_dir, device=options.device
    )
    if cell.order.get("disjoint"):
        wrong = [f.message for f in splits.check(prepared.parts, disjoint=True)]
        if wrong:
            raise SuiteError(f"split `{plan.split.name}` is not disjoint: {'; '.join(wrong)}")
    runs.check_fit(plan, prepared)
    if not place.has("run.json"):
        if place.path.exists():  # an attempt that died while it began
            shutil.rmtree(place.path)
        runs.begin(plan, prepared, place.path, options)
    elif place.read("run.json")["fingerprints"] != prepared.parts.fingerprints():
        raise SuiteError(f"{place.path}: the data or the split has changed since it began")
    else:
        place.mend()
        index_lists.agreed(place, prepared.parts)
    if cell.kind == "search":
        outcome = runs.execute(plan, prepared, place, options, watch, tell)
        made = searched(outcome.search)
    else:
        genotype = task.before[cell.needs[0]]["genotype"]
        place.write("genotype.json", genotype)
        found = runs.retrain(
            plan, prepared, loads(json.dumps(genotype)), place, options, watch, tell
        )
        made = {
            k: found[k] for k in ("test", "valid", "params", "epochs", "genotype") if k in found
        }
        place.update(status="done")
    # Both come to the same floats: what is read back from JSON is what was written.
    written: dict[str, Any] = json.loads(json.dumps(made))
    place.write("outcome.json", written)
    return written


def searched(result: Mapping[str, Any]) -> dict[str, Any]:
    """What of a search's result later cells and reports read; no times."""
    kept = ("genotype", "text", "valid", "valid_discrete", "discretization_gap", "warnings")
    return {k: result[k] for k in kept if k in result}


def picked(cell: Cell, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The best of some results by the measure of the suite; the first of equals.

    Raises SuiteError where it was not measured.
    """
    how, measure = cell.order["choose"]
    values = {d: value_of(results[d], measure) for d in cell.needs}
    best = (min if how == "min" else max)(cell.needs, key=lambda d: values[d])
    return {
        "picked": best,
        "measure": measure,
        "values": values,
        "genotype": results[best].get("genotype"),
        "text": results[best].get("text"),
    }


def value_of(result: Mapping[str, Any], measure: str) -> float:
    """`search.valid.loss`, `retrain.valid.accuracy`, `test.error` of a cell's result.

    Raises SuiteError where it was not measured.
    """
    *_, part, what = ("", *measure.split("."))
    measured = result.get(part)
    if part == "valid" and measured is None:  # architectures that are trained one by one
        measured = result.get("valid_discrete")
    if not isinstance(measured, Mapping):
        raise SuiteError(f"`{measure}` was not measured (does the split have such a part?)")
    if what == "error" and "accuracy" in measured:
        return 100.0 - float(measured["accuracy"])
    if what not in measured:
        raise SuiteError(f"`{measure}` was not measured")
    return float(measured[what])
