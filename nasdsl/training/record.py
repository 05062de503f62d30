"""A run folder: what was run, with which sources and versions, and what came of it. No torch.

run.json        the order: names, parameters, seed, versions, digests, fingerprints, status
sources.json    every `.nas` text the run was compiled from, and who imported what
resolved.nas    space and recipe with everything inherited written out
log.jsonl       one record per epoch
result.json     genotype, mix, measurements
genotype.json / genotype.txt
checkpoint/     the newest checkpoint of the search
retrain/        log, checkpoint and weights of the retrained network
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = 1


class RunError(ValueError):
    """A folder is no run, or not the run it is taken for."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run on disk."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    def read(self, name: str) -> Any:
        """A JSON file of the run. Raises RunError where it is missing or damaged."""
        place = self.path / name
        try:
            return json.loads(place.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{self.path} is no run folder: it has no {name}") from None
        except (OSError, ValueError) as error:
            raise RunError(f"{place} is damaged: {error}") from None

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file of the run, in one step."""
        self.write_text(name, json.dumps(value, indent=1) + "\n")

    def write_text(self, name: str, text: str) -> None:
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(place.name + ".new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(place)

    def update(self, **values: Any) -> None:
        """Change fields of `run.json`."""
        self.write("run.json", {**self.read("run.json"), **values})


def create(path: Path, record: dict[str, Any]) -> RunFolder:
    """A new run folder. Raises RunError where something lies there already."""
    if path.exists() and any(path.iterdir()):
        raise RunError(f"{path} is not empty; choose another folder or --resume it")
    path.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(path)
    folder.write("run.json", {"schema": SCHEMA, **record, "status": "started"})
    return folder


def fresh_name(base: Path, space: str, recipe: str) -> Path:
    """`runs/darts-gdas-1`: the first free number."""
    n = 1
    while (base / f"{space}-{recipe}-{n}").exists():
        n += 1
    return base / f"{space}-{recipe}-{n}"


class Log:
    """An append-only JSON Lines file; a resumed run drops what its checkpoint does not know."""

    def __init__(self, path: Path, *, keep: int) -> None:
        """Keep the first `keep` records, drop what follows."""
        path.parent.mkdir(parents=True, exist_ok=True)
        records = read_log(path)[:keep] if path.exists() else []
        text = "".join(json.dumps(r) + "\n" for r in records)
        beside = path.with_name(path.name + ".new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
        self.path = path
        self.count = len(records)

    def add(self, record: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.count += 1


def read_log(path: Path) -> list[dict[str, Any]]:
    """Whole records of a log; a line cut off by a crash is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if isinstance(record, dict):
            found.append(record)
    return found


def now() -> str:
    """UTC, ISO 8601, seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
