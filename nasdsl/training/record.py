"""A run folder: what was run, with which sources and versions, and what came of it. No torch.

run.json        the order: names, parameters, seed, versions, digests, fingerprints, status
sources.json    every `.nas` text the run was compiled from, and who imported what
splits.json     the indices of the images in every part of the split
log.jsonl       one record per epoch
result.json     genotype, mix, measurements
genotype.json / genotype.txt
checkpoint/     the newest checkpoints of the search
retrain/        log, checkpoints and weights of the retrained network
digests.json    SHA-256 of every file above that is written once
copies/         run.json and sources.json once more, as the run began
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasdsl import disk
from nasdsl.training.written import FILES, RECORD, misfit

SCHEMA = 1
#: What a run, or a suite, cannot be opened without.
_VITAL = ("run.json", "sources.json", "suite.json")
_DIGESTS = "digests.json"
#: No JSON file of a run comes near it.
LARGEST = 256 * 2**20


class RunError(ValueError):
    """A folder is no run, or not the run it is taken for."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run on disk. `notes` says what was found damaged, and what was done about it."""

    path: Path
    notes: list[str] = field(default_factory=list, compare=False)

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    def read(self, name: str) -> Any:
        """A JSON file of the run. Raises RunError where it is missing or damaged.

        `run.json` and `sources.json` are then taken from the copy of them, if that is whole.
        """
        try:
            return self._fitting(name)
        except RunError as error:
            if name not in _VITAL or not (self.path / "copies" / name).is_file():
                raise
            copy = f"copies/{name}"
            found = self._fitting(copy)
            self.note(f"{error}; its copy {self.path / copy} is used")
            return found

    def _fitting(self, name: str) -> Any:
        found = _json(self.path / name, self._digests().get(name))
        if name in FILES and (wrong := misfit(found, FILES[name])) is not None:
            raise RunError(
                f"{self.path / name} is damaged: `{wrong.lstrip('.')[:80]}` is not right"
            )
        return found

    def mend(self) -> None:
        """Put copies in the place of what is damaged, and digests where they are. Raises RunError.

        What a killed process left half written is taken away. Nobody else may be writing here.
        """
        for part in ("", "copies", "retrain"):
            disk.tidy(self.path / part)
        for name in _VITAL:
            copy = self.path / "copies" / name
            if not (self.path / name).is_file() and not copy.is_file():
                continue
            value = self.read(name)
            if _failing(self.path / name, self._digests().get(name)):
                self.write(name, value)
            elif _failing(copy, self._digests().get(f"copies/{name}")):
                self.write(f"copies/{name}", value)

    def note(self, text: str) -> None:
        """Note something once."""
        if text not in self.notes:
            self.notes.append(text)

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def sound(self, *names: str) -> bool:
        """Whether the files are there and are what was written; what is not is noted."""
        known = self._digests()
        good = True
        for name in names:
            place = self.path / name
            if not place.is_file():
                good = False
            elif name in known and disk.digest_of(place) not in known[name]:
                self.note(f"{place} is damaged; it is made again")
                good = False
        return good

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file of the run, in one step. Raises DiskError."""
        self.write_text(name, json.dumps(value, indent=1) + "\n")

    def write_text(self, name: str, text: str) -> None:
        self.write_bytes(name, text.encode("utf-8"))

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file of the run, in one step. Raises DiskError.

        Its digest is written down first, beside that of the file that is replaced: whenever the
        process dies, the file that is there has its digest.
        """
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        known = self._digests()
        digests = [disk.digest(data)]
        if place.is_file():
            digests.append(disk.digest_of(place))
        if known.get(name) != digests:
            known[name] = list(dict.fromkeys(digests))
            disk.write(self.path / _DIGESTS, (json.dumps(known, indent=1) + "\n").encode())
        disk.write(place, data)

    def _digests(self) -> dict[str, list[str]]:
        """The digests that are allowed, by name; none where they are damaged themselves."""
        place = self.path / _DIGESTS
        if not place.is_file():
            return {}
        try:
            found = _json(place, None)
            return {str(name): [str(d) for d in digests] for name, digests in found.items()}
        except (RunError, AttributeError, TypeError):
            self.note(f"{place} is damaged; the files of the run are taken as they are")
            return {}

    def update(self, **values: Any) -> None:
        """Change fields of `run.json`."""
        self.write("run.json", {**self.read("run.json"), **values})


def _failing(place: Path, digests: list[str] | None) -> bool:
    """Whether a JSON file is missing or damaged."""
    try:
        _json(place, digests)
    except RunError:
        return True
    return False


def _json(place: Path, digests: list[str] | None) -> Any:
    """What a JSON file says. Raises RunError."""
    try:
        if place.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST} bytes")
        data = place.read_bytes()
        found = json.loads(data.decode("utf-8"))
    except FileNotFoundError:
        raise RunError(f"{place.parent} is no run folder: it has no {place.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{place} is damaged: {error}") from None
    if digests is not None and disk.digest(data) not in digests:
        raise RunError(f"{place} is damaged: it is not what was written")
    return found


def create(
    path: Path, record: dict[str, Any], sources: dict[str, Any], lists: dict[str, Any]
) -> RunFolder:
    """A new run folder. Raises RunError where something lies there already."""
    if path.exists() and any(path.iterdir()) and not _begun(path):
        raise RunError(f"{path} is not empty; choose another folder or --resume it")
    path.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(path)
    order = {"schema": SCHEMA, **record, "status": "started"}
    # `run.json` last: a folder that has it is whole.
    for name, value in (("sources.json", sources), ("splits.json", lists), ("run.json", order)):
        if name in _VITAL:
            folder.write(f"copies/{name}", value)
        folder.write(name, value)
    return folder


def _begun(path: Path) -> bool:
    """Whether all that is in a folder is the beginning of a run that was killed there."""
    names = {p.name.removesuffix(".new") for p in path.iterdir()}
    ours = {_DIGESTS, "copies", "sources.json", "splits.json"}
    return names <= ours and "copies" in names


def fresh(base: Path, space: str, recipe: str) -> Path:
    """A new folder `runs/darts-gdas-1`: the first free number."""
    base.mkdir(parents=True, exist_ok=True)
    n = 1
    while True:
        place = base / f"{space}-{recipe}-{n}"
        try:
            place.mkdir()
        except FileExistsError:
            n += 1
        else:
            return place


class Log:
    """An append-only JSON Lines file; a resumed run drops what its checkpoint does not know."""

    def __init__(self, path: Path, *, keep: int, digest: str | None = None) -> None:
        """Keep the first `keep` records, drop what follows. Raises DiskError.

        `digest` is what a checkpoint knows of the records that are kept; `note` says where they
        are not those.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [line for line, epoch in _whole(path) if epoch <= keep] if path.exists() else []
        self.note: str | None = None
        text = "".join(lines)
        if digest is not None and disk.digest(text.encode()) != digest:
            lost = keep - len(lines)
            self.note = f"{path} is damaged" + (
                f": {lost} of {keep} records are lost" if lost else ": a record was changed"
            )
        if not path.exists() or path.read_bytes() != text.encode():
            disk.write(path, text.encode())
        self.path = path
        self.count = len(lines)

    def add(self, record: dict[str, Any]) -> None:
        """Add a record and force it to disk. Raises DiskError."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise disk.failed(self.path, error) from None
        self.count += 1

    def digest(self) -> str:
        """SHA-256 of the records so far."""
        return disk.digest_of(self.path)


def _whole(path: Path) -> list[tuple[str, int]]:
    """The lines of a log that hold a record and their epochs, up to the first that does not."""
    found = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                break
            if misfit(record, RECORD) or "epoch" not in record or not line.endswith("\n"):
                break
            found.append((line, record["epoch"]))
    return found


def read_log(path: Path) -> list[dict[str, Any]]:
    """Whole records of a log; a line cut off by a crash is left out."""
    return [json.loads(line) for line, _ in _whole(path)]


def now() -> str:
    """UTC, ISO 8601, seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
