"""The folder of a suite.

suite.json        name, choice, what is reported; where the results are, if in a server
sources.json      every `.nas` text the suite was compiled from
copies/           both of them once more
store.sqlite      the cells and their results, unless a server has them
tasks/DIGEST.json a cell that was begun, with the results it needs
cells/DIGEST/     the run folder of a cell; outcome.json in it once it is done
logs/DIGEST.txt   what a cell's process said
jobs/             what is known of the jobs of a cluster
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasdsl import disk
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.driver import Loaded
from nasdsl.ir.schema import REPORTED
from nasdsl.suite import kept
from nasdsl.suite.cell import Cell, Task
from nasdsl.suite.errors import Damaged, SuiteError
from nasdsl.suite.planning import SuitePlan
from nasdsl.suite.postgres import Postgres, without_password
from nasdsl.suite.sqlite import Sqlite
from nasdsl.suite.store import Store
from nasdsl.training.archive import archived, restored
from nasdsl.training.plan import Item
from nasdsl.training.record import RunFolder

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class SuiteFolder:
    """A suite on disk."""

    path: Path
    #: Its JSON files; `notes` says what of the suite was found damaged.
    files: RunFolder = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", RunFolder(self.path))

    @property
    def store_file(self) -> Path:
        return self.path / "store.sqlite"

    def cell(self, digest: str) -> Path:
        """The run folder of a cell."""
        return self.path / "cells" / _checked(digest)

    def outcome(self, digest: str) -> dict[str, Any] | None:
        """The result of a cell, where an attempt came to its end."""
        place = RunFolder(self.cell(digest))
        found = place.read("outcome.json") if place.sound("outcome.json") else None
        for note in place.notes:
            self.files.note(note)
        return found

    def log(self, digest: str) -> Path:
        """Where the process of a cell writes what it says."""
        return self.path / "logs" / f"{_checked(digest)}.txt"

    @property
    def jobs(self) -> Path:
        """Where it is written which job of a cluster does which cell."""
        return self.path / "jobs"

    def write_task(self, task: Task) -> None:
        """Note what a process needs that is to do a cell, so that it needs no database."""
        made = {
            "cell": task.cell.plain(), "attempt": task.attempt, "before": dict(task.before),
        }  # fmt: skip
        place = self.path / "tasks" / f"{_checked(task.cell.digest)}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        disk.write(place, (json.dumps(made, indent=1) + "\n").encode("utf-8"))

    def read_task(self, digest: str) -> Task:
        """What `write_task` noted. Raises SuiteError."""
        place = self.path / "tasks" / f"{digest}.json"
        try:
            found = json.loads(place.read_text(encoding="utf-8"))
            return Task(
                cell=Cell.of(found["cell"]), attempt=found["attempt"], before=found["before"]
            )
        except FileNotFoundError:
            raise SuiteError(f"{self.path} has begun no cell {digest}") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SuiteError(f"{place} is damaged: {error}") from None

    def about(self, measure: str | None = None) -> dict[str, Any]:
        """What `suite.json` says, with another measure where one is given.

        Raises SuiteError where the folder is no suite, or the measure is none.
        """
        if not is_suite(self.path):
            raise SuiteError(f"{self.path} is no folder of a suite: it has no suite.json")
        found: dict[str, Any] = self.files.read("suite.json")
        return measured(found, measure)

    def open(self, url: str | None = None) -> Store:
        """The store; by `url` where the server is reached otherwise now.

        Raises SuiteError; Damaged where a file is missing or not what was written.
        """
        place = self.about().get("store")
        if place is None:
            if url is not None:
                raise SuiteError(f"{self.path} keeps its results in {self.store_file.name}")
            return self._own()
        store = Store(Postgres(url or place["url"]), place["suite"])
        kept.find(store.database, store.suite)
        return store

    def _own(self) -> Store:
        hint = f"nasdsl suite run {self.path} makes it again from the results of the cells"
        if not self.store_file.is_file():
            raise Damaged(f"{self.path} has no {self.store_file.name}; {hint}")
        try:
            store = Store(Sqlite(self.store_file))
            store.check()
            there, wanted = store.counts()[1], self.about()["cells"]
            if there != wanted:
                raise Damaged(f"{self.store_file} is damaged: it has {there} of {wanted} cells")
        except Damaged as error:
            raise Damaged(f"{error}; {hint}") from None
        return store

    def mend(self, cells: Callable[[], Sequence[Cell]]) -> None:
        """Put copies in the place of damaged files, and make a damaged store again.

        That is done from the cells of the suite and the results in their folders; attempts and
        failures are forgotten. Notes say what was done. Raises SuiteError, RunError, DiskError.
        """
        with alone(self.path / "locks" / "store"):
            self.files.mend()
            if self.about().get("store") is not None:
                return
            try:
                self._own().close()
                return
            except Damaged as error:
                wrong = str(error).partition(";")[0]
            made = self.store_file.with_name(self.store_file.name + disk.BESIDE)
            for old in _written(made):
                old.unlink(missing_ok=True)
            store, all_ = Store(Sqlite(made)), cells()
            kept.keep(store, self.about(), self.files.read("sources.json"), all_)
            for cell in all_:
                if (result := self.outcome(cell.digest)) is not None:
                    store.recall(cell.digest, result)
            store.close()
            # What SQLite has not finished belongs to the damaged file, and not to this one.
            for old in _written(self.store_file)[1:]:
                old.unlink(missing_ok=True)
            made.replace(self.store_file)
            disk.force(self.path)
        self.files.note(f"{wrong}; it is made again from the results of the cells")

    def loaded(self, *, run_plugins: bool = False) -> Loaded:
        """The file the suite was declared in, from the texts that are kept."""
        stored = self.files.read("sources.json")
        found = restored(self.files, stored, run_plugins=run_plugins)
        if "suite" not in found:
            raise SuiteError(f"{self.path}: sources.json is incomplete")
        return found["suite"].loaded


def _written(store: Path) -> list[Path]:
    """The files of a store in a file."""
    return [store.with_name(store.name + end) for end in ("", "-journal", "-wal", "-shm")]


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Only one process at a time works under a lock file: an older one is waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            import fcntl
        except ImportError:  # no such locks on this system: the store's claims are what there is
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _checked(digest: str) -> str:
    """A digest as the name of a file: a database that others write to may say anything."""
    if not (digest.isascii() and digest.isalnum()):
        raise SuiteError(f"`{digest}` is no digest of a cell")
    return digest


def is_suite(path: Path) -> bool:
    """Whether a folder is that of a suite."""
    return (path / "suite.json").is_file()


def create(path: Path, loaded: Loaded, made: SuitePlan, url: str | None = None) -> SuiteFolder:
    """The folder of a suite whose results go to a file in it, or to the server of a URL.

    A folder of the same suite goes on, and so does a suite that the server knows. Sources come
    first and `suite.json` last: a folder with it is whole. Raises SuiteError.
    """
    folder = SuiteFolder(path)
    about, sources = _about(loaded, made), _sources(loaded, made)
    suite = kept.suite_digest(about, made.cells)
    if is_suite(path):
        folder.mend(lambda: made.cells)
        _same(folder, made, suite, url)
        return folder
    _empty(path)
    # A server that does not answer is said before anything is written.
    server = Postgres(url) if url is not None else None
    _begin(folder, sources, _placed(about, suite, url))
    if server is None:
        store = Store(Sqlite(folder.store_file))
    else:
        store = Store(server, suite)
    kept.keep(store, about, sources, made.cells)
    store.close()
    folder.files.write("suite.json", _placed(about, suite, url))
    return folder


def join(path: Path | None, url: str, which: str | None) -> SuiteFolder:
    """A folder for a suite that a server knows, by its name or digest; else `runs/SUITE`.

    Raises SuiteError.
    """
    database = Postgres(url)
    found = kept.find(database, which)
    about, sources = kept.texts(database, found.suite)
    database.close()
    if sources.get("plugins"):
        # What others wrote into a database is not run unseen.
        names = ", ".join(str(p.get("name")) for p in sources["plugins"])
        raise SuiteError(
            f"suite `{found.name}` has plugins ({names}), which are code; "
            "give its file and --plugin to work on it"
        )
    path = path or Path("runs") / found.name
    folder = SuiteFolder(path)
    if is_suite(path):
        at = folder.about().get("store") or {}
        if at.get("suite") != found.suite:
            raise SuiteError(f"{path} holds another suite; choose another folder")
        return folder
    _empty(path)
    _begin(folder, sources, _placed(about, found.suite, url))
    folder.files.write("suite.json", _placed(about, found.suite, url))
    return folder


def _about(loaded: Loaded, made: SuitePlan) -> dict[str, Any]:
    d = made.declared
    return {
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


def _sources(loaded: Loaded, made: SuitePlan) -> dict[str, Any]:
    return archived({"suite": Item("suite", made.declared.name, loaded)})


def _placed(about: Mapping[str, Any], suite: str, url: str | None) -> dict[str, Any]:
    if url is None:
        return dict(about)
    return {**about, "store": {"url": without_password(url), "suite": suite}}


def _same(folder: SuiteFolder, made: SuitePlan, suite: str, url: str | None) -> None:
    """Refuse a folder of another suite, or with its results elsewhere. Raises SuiteError."""
    place = folder.about().get("store")
    if place is None:
        store = folder.open(url)
        same = {s.cell.digest for s in store.all()} == {c.digest for c in made.cells}
        store.close()
    else:
        same = place["suite"] == suite
    if not same:
        raise SuiteError(
            f"{folder.path} holds another suite, or this one before it was changed; "
            "choose another folder"
        )


def _empty(path: Path) -> None:
    """Refuse a folder with other things in it. Raises SuiteError."""
    names = {p.name for p in path.iterdir()} if path.exists() else set()
    if names and not names & {"copies", "sources.json"}:
        raise SuiteError(f"{path} is not empty; choose another folder")


def measured(about: Mapping[str, Any], measure: str | None) -> dict[str, Any]:
    """What a suite says about itself, with another measure where one is given. Raises SuiteError."""
    if measure is None:
        return dict(about)
    if measure not in REPORTED:
        advice = did_you_mean(measure, REPORTED) or f"there are {', '.join(REPORTED[:3])}, …"
        raise SuiteError(f"`{measure}` is not measured; {advice}")
    return {**about, "measure": measure}


def _begin(folder: SuiteFolder, sources: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Everything but `suite.json`, which a folder that is whole has."""
    for name, value in (("sources.json", sources), ("suite.json", about)):
        folder.files.write(f"copies/{name}", value)
    folder.files.write("sources.json", sources)
