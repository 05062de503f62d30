"""The folder of a suite.

suite.json      name, choice, what is reported
sources.json    every `.nas` text the suite was compiled from
store.sqlite    the cells and their results
cells/DIGEST/   the run folder of a cell; outcome.json in it once it is done
logs/DIGEST.txt what a cell's process said
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.driver import Loaded
from nasdsl.ir.schema import REPORTED
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.planning import SuitePlan
from nasdsl.suite.store import Store
from nasdsl.training.archive import archived, restored
from nasdsl.training.plan import Item
from nasdsl.training.record import RunFolder

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class SuiteFolder:
    """A suite on disk."""

    path: Path

    @property
    def files(self) -> RunFolder:
        return RunFolder(self.path)

    @property
    def store_file(self) -> Path:
        return self.path / "store.sqlite"

    def cell(self, digest: str) -> Path:
        """The run folder of a cell."""
        return self.path / "cells" / digest

    def log(self, digest: str) -> Path:
        """Where the process of a cell writes what it says."""
        return self.path / "logs" / f"{digest}.txt"

    def about(self, measure: str | None = None) -> dict[str, Any]:
        """What `suite.json` says, with another measure where one is given.

        Raises SuiteError where the folder is no suite, or the measure is none.
        """
        if not is_suite(self.path):
            raise SuiteError(f"{self.path} is no folder of a suite: it has no suite.json")
        found: dict[str, Any] = self.files.read("suite.json")
        if measure is None:
            return found
        if measure not in REPORTED:
            advice = did_you_mean(measure, REPORTED) or f"there are {', '.join(REPORTED[:3])}, …"
            raise SuiteError(f"`{measure}` is not measured; {advice}")
        return found | {"measure": measure}

    def open(self) -> Store:
        """The store. Raises SuiteError."""
        self.about()
        return Store(self.store_file)

    def loaded(self, *, run_plugins: bool = False) -> Loaded:
        """The file the suite was declared in, from the texts that are kept."""
        stored = self.files.read("sources.json")
        return restored(self.files, stored, run_plugins=run_plugins)["suite"].loaded


def is_suite(path: Path) -> bool:
    """Whether a folder is that of a suite."""
    return (path / "suite.json").is_file()


def create(path: Path, loaded: Loaded, made: SuitePlan) -> SuiteFolder:
    """The folder of a suite; one of the same suite goes on. Raises SuiteError.

    Sources come first and `suite.json` last: a folder with it is whole.
    """
    folder = SuiteFolder(path)
    d = made.declared
    about = {
        "schema": SCHEMA,
        "suite": d.name,
        "file": loaded.source.name,
        "choose": list(d.choose),
        "measure": d.measure,
        "best": d.best,
        "by": [list(b) for b in d.by],
        "optimizers": [r.label for r in d.recipes],
        "benchmarks": list(dict.fromkeys(c.names["benchmark"] for c in made.cells)),
        "settings": [t.label for t in d.retrain],
        "cells": len(made.cells),
    }
    if is_suite(path):
        store = folder.open()
        known = {s.cell.digest for s in store.all()}
        store.close()
        if known != {c.digest for c in made.cells}:
            raise SuiteError(
                f"{path} holds another suite, or this one before it was changed; "
                "choose another folder"
            )
        return folder
    if path.exists() and any(path.iterdir()) and not (path / "sources.json").is_file():
        raise SuiteError(f"{path} is not empty; choose another folder")
    folder.files.write("sources.json", archived({"suite": Item("suite", d.name, loaded)}))
    store = Store(folder.store_file)
    store.add(made.cells)
    store.close()
    folder.files.write("suite.json", about)
    return folder
