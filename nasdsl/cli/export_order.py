"""What `export` is asked for, and the network it is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be exported, as the command line says it.

    `read` gives the text of a genotype that is given as text, as a file, or as `-`.
    """

    source: str
    form: str
    out: Path | None
    space: str | None
    parameters: dict[str, str]
    target: dict[str, str]
    genotype: str | None
    inherit: Path | None
    size: str
    reestimate: int
    seed: int
    data_dir: Path | None
    force: bool
    fold: bool
    read: Callable[[str], str]

    def changed(self) -> list[str]:
        """Options given that speak of networks alone."""
        given = {
            "--target": self.target, "--genotype": self.genotype, "--inherit": self.inherit,
            "--size": self.size != "target", "--reestimate": self.reestimate, "--seed": self.seed,
            "--data-dir": self.data_dir, "--fold": self.fold,
        }  # fmt: skip
        return [name for name, value in given.items() if value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The space, the genotype in it, the run and file they come from."""

    space: Any
    resolved: Any
    genotype: Any
    file: str
    run: Any = None
    plan: Any = None
    #: Whether the genotype is the one the run found.
    own: bool = False


def is_run(place: str | Path) -> bool:
    return (Path(place) / "run.json").is_file()
