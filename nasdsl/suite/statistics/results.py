"""Results of a comparison, and their one layout: optimizers are compared, blocks repeat.

A published notebook passed its pivot table the wrong way round to a Friedman test and so tested
whether the training settings differ. Tests here take a `Layout`, never an array, and a layout has
optimizers as treatments because it can only be made by `Results.blocked`: there is no argument
that would exchange the two sides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
#: What a block may be; the optimizer is always what is compared.
Factor = Literal["benchmark", "setting", "seed"]
#: How the values of an optimizer in a block become one.
Summary = Literal["mean", "best"]


class StatisticsError(ValueError):
    """Results do not allow what is asked of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One measured value, by the four things that it depends on."""

    optimizer: str
    benchmark: str
    setting: str = ""
    seed: str = ""
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All values of a comparison; every combination at most once.

    `measure` says what the values are, `higher` whether more of it is better. Raises
    StatisticsError for a combination given twice and for values that are no numbers.
    """

    rows: tuple[Result, ...]
    measure: str = "accuracy"
    higher: bool = True
    optimizers: tuple[str, ...] = field(default=())
    benchmarks: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        seen: set[tuple[str, str, str, str]] = set()
        for r in self.rows:
            key = r.optimizer, r.benchmark, r.setting, r.seed
            if key in seen:
                raise StatisticsError(
                    f"two values for {' / '.join(k for k in key if k)}; a further column must tell "
                    "them apart (a seed, for instance)"
                )
            if not np.isfinite(r.value):
                raise StatisticsError(f"{r.optimizer} on {r.benchmark}: {r.value} is no number")
            seen.add(key)
        for name, given in (("optimizers", "optimizer"), ("benchmarks", "benchmark")):
            order: tuple[str, ...] = getattr(self, name)
            present = {getattr(r, given) for r in self.rows}
            kept = [n for n in order if n in present]
            rest = sorted(present - set(kept), key=natural)
            object.__setattr__(self, name, (*kept, *rest))

    @property
    def settings(self) -> tuple[str, ...]:
        return tuple(sorted({r.setting for r in self.rows}, key=natural))

    @property
    def seeds(self) -> tuple[str, ...]:
        return tuple(sorted({r.seed for r in self.rows}, key=natural))

    def where(self, keep: Callable[[Result], bool]) -> Results:
        """The results that a condition holds for."""
        return Results(
            rows=tuple(r for r in self.rows if keep(r)),
            measure=self.measure,
            higher=self.higher,
            optimizers=self.optimizers,
            benchmarks=self.benchmarks,
        )

    def cell(self, optimizer: str, benchmark: str) -> dict[str, list[float]]:
        """Values of an optimizer on a benchmark: setting -> values of the seeds, in order."""
        found: dict[str, list[tuple[str, float]]] = {}
        for r in self.rows:
            if r.optimizer == optimizer and r.benchmark == benchmark:
                found.setdefault(r.setting, []).append((r.seed, r.value))
        return {
            s: [v for _, v in sorted(found[s], key=lambda p: natural(p[0]))]
            for s in sorted(found, key=natural)
        }

    def best(self, values: Iterable[float]) -> float:
        """The best of some values."""
        return max(values) if self.higher else min(values)

    def one(self, optimizer: str, benchmark: str, summary: Summary) -> float | None:
        """The value of a cell: seeds are averaged first, then settings (or the best is taken)."""
        means = [float(np.mean(v)) for v in self.cell(optimizer, benchmark).values()]
        if not means:
            return None
        return float(np.mean(means)) if summary == "mean" else self.best(means)

    def blocked(self, by: Factor = "benchmark", summary: Summary = "mean") -> Layout:
        """Optimizers against blocks; the only way to a layout.

        Blocks in which an optimizer has no value are left out and named in `dropped`.
        """
        names: Sequence[str]
        match by:
            case "benchmark":
                names = self.benchmarks
            case "setting":
                names = self.settings
            case "seed":
                names = self.seeds
        kept, dropped, columns = [], [], []
        for name in names:
            part = self if by == "benchmark" else self.where(lambda r: getattr(r, by) == name)  # noqa: B023
            column = [
                part.one(o, name, summary)
                if by == "benchmark"
                else _mean([part.one(o, b, summary) for b in self.benchmarks])
                for o in self.optimizers
            ]
            if any(v is None for v in column):
                dropped.append(name)
            else:
                kept.append(name)
                columns.append([float(v) for v in column if v is not None])
        values = np.array(columns, dtype=np.float64).reshape(len(kept), len(self.optimizers))
        return Layout._made(
            optimizers=self.optimizers,
            blocks=tuple(kept),
            by=by,
            summary=summary,
            measure=self.measure,
            higher=self.higher,
            values=values,
            dropped=tuple(dropped),
        )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if len(known) == len(values) and known else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, init=False)
class Layout:
    """A value for every optimizer (the treatments) in every block; made by `Results.blocked`.

    `values` has shape (blocks, optimizers) and cannot be written to.
    """

    optimizers: tuple[str, ...]
    blocks: tuple[str, ...]
    by: Factor
    summary: Summary
    measure: str
    higher: bool
    dropped: tuple[str, ...]
    values: Values

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("a Layout is made by Results.blocked, which knows what an optimizer is")

    @classmethod
    def _made(cls, *, values: Values, **fields: object) -> Layout:
        made = object.__new__(cls)
        frozen = np.array(values, dtype=np.float64)
        frozen.setflags(write=False)
        for name, value in fields.items():
            object.__setattr__(made, name, value)
        object.__setattr__(made, "values", frozen)
        return made

    @property
    def n(self) -> int:
        """How many blocks."""
        return len(self.blocks)

    @property
    def k(self) -> int:
        """How many optimizers."""
        return len(self.optimizers)

    def of(self, optimizer: str) -> Values:
        """The values of an optimizer, block by block."""
        column: Values = self.values[:, self.optimizers.index(optimizer)]
        return column

    def at(self, block: str) -> Values:
        """The values in a block, optimizer by optimizer."""
        row: Values = self.values[self.blocks.index(block)]
        return row


def natural(text: str) -> tuple[tuple[int, float, str], ...]:
    """Order of names in which numbers in them count as numbers."""
    parts = re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?|\D+", text)
    return tuple((0, float(p), "") if p[0].isdigit() else (1, 0.0, p) for p in parts)
