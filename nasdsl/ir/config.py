"""Values of recipes, data sets, splits, training settings and suites.

A block is a mapping from slots to values; a value is a number, text, boolean, list, map, a
component with named arguments, a schedule, or a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from nasdsl.ir.extension import Extension
from nasdsl.source import Span


@dataclass(frozen=True, slots=True)
class Word:
    """A bare name that stands for itself: `first`, `accuracy`, `search.valid.loss`."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Component:
    """`sgd(lr = 0.1)`: a name and its arguments, defaults filled in once the slot is known."""

    name: str
    args: tuple[tuple[str, Any], ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)
    #: Who makes it, where it is a component of a plugin.
    extension: Extension | None = field(default=None, compare=False, repr=False)

    def get(self, name: str, default: Any = None) -> Any:
        for key, value in self.args:
            if key == name:
                return value
        return default

    def with_arg(self, name: str, value: Any) -> Component:
        """The component with one argument changed or added."""
        args = [(k, value if k == name else v) for k, v in self.args]
        if all(k != name for k, _ in self.args):
            args.append((name, value))
        return Component(self.name, tuple(args), self.span, self.extension)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`cosine(a -> b)`, over the block it is written in.

    `per_epoch`: t = epoch / epochs, held during an epoch and never reaching b (the PyTorch
    convention); else t = step / (steps - 1), so that the first step has a and the last b.
    """

    form: str
    start: Fraction
    end: Fraction
    per_epoch: bool = False
    span: Span | None = field(default=None, compare=False, repr=False)

    def at(self, t: float) -> float:
        """The value at t in [0, 1]."""
        a, b = float(self.start), float(self.end)
        match self.form:
            case "constant":
                return a
            case "linear":
                return a + (b - a) * t
            case "cosine":
                return b + (a - b) * (1 + math.cos(math.pi * t)) / 2
            case _:
                return float(a * (b / a) ** t)


@dataclass(frozen=True, slots=True)
class Time:
    """`10` epochs, or `25%` of the run of the block in which it stands."""

    value: Fraction
    relative: bool

    def epochs(self, total: int) -> Fraction:
        return self.value * total if self.relative else self.value


@dataclass(frozen=True, slots=True)
class Steps:
    """`steps({0: u, 10: v})`: u until 10, then v; entries that are schedules run in between."""

    entries: tuple[tuple[Time, Any], ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """`a >> b`: components in order."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Total:
    """`a + b`: components that add up."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Ref:
    """A block by name, with parameters or attributes changed by a call."""

    kind: str
    name: str
    changes: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        if not self.changes:
            return self.name
        return f"{self.name}({', '.join(f'{k} = {show(v)}' for k, v in self.changes)})"


@dataclass(frozen=True, slots=True)
class Data:
    """An order of a data set's training images, and a range of it.

    `order` is `file`, `shuffle`, `stratify` or `files`, a list of indices; `low` and `high` are
    fractions (half open) or, with `indices`, whole numbers (inclusive). With `folds` the range is
    one of so many folds. With `outside` it is everything but the range.
    """

    order: str = "file"
    seed: int = 0
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(1)
    indices: bool = False
    folds: int = 0
    outside: bool = False
    #: Of `files`: the path as written, and the indices as int64 of this machine.
    path: str = ""
    chosen: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A flat block of a kind: slots in order, phases with their own slots."""

    kind: str
    name: str
    values: tuple[tuple[str, Any], ...]
    network: tuple[tuple[str, Any], ...] = ()
    phases: tuple[tuple[str, Settings], ...] = ()
    requires: tuple[str, ...] = ()

    def get(self, slot: str, default: Any = None) -> Any:
        for key, value in self.values:
            if key == slot:
                return value
        return default


def components(value: Any) -> tuple[Component, ...]:
    """The components of a slot: none, one, or the terms of a sum."""
    match value:
        case Component():
            return (value,)
        case Total():
            return tuple(p for p in value.parts if isinstance(p, Component))
        case _:
            return ()


def value_at(value: Any, *, step: int, steps: int, steps_per_epoch: int) -> float:
    """A number or schedule at a step of a run (0-based) as a float."""
    if isinstance(value, Schedule):
        if value.per_epoch:
            epochs = max(1, -(-steps // steps_per_epoch))
            return value.at((step // steps_per_epoch) / epochs)
        return value.at(step / (steps - 1) if steps > 1 else 1.0)
    if isinstance(value, Steps):
        epochs = max(1, -(-steps // steps_per_epoch))
        bounds = [round(t.epochs(epochs) * steps_per_epoch) for t, _ in value.entries]
        index = max((i for i, b in enumerate(bounds) if b <= step), default=0)
        first = bounds[index]
        last = bounds[index + 1] if index + 1 < len(bounds) else steps
        return value_at(
            value.entries[index][1],
            step=step - first,
            steps=max(1, last - first),
            steps_per_epoch=steps_per_epoch,
        )
    return float(value)


def show(value: Any) -> str:
    """A value as `.nas` text."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case Fraction():
            if value.denominator == 1:
                return str(value.numerator)
            number = float(value)
            return repr(number) if Fraction(repr(number)) == value else str(value)
        case Word():
            return value.text
        case Component():
            if not value.args:
                return value.name
            args = ", ".join(show(v) if k.isdigit() else f"{k} = {show(v)}" for k, v in value.args)
            return f"{value.name}({args})"
        case Schedule():
            per = ", per = epoch" if value.per_epoch else ""
            return f"{value.form}({show(value.start)} -> {show(value.end)}{per})"
        case Time():
            return f"{show(value.value * 100)}%" if value.relative else show(value.value)
        case Steps():
            return "steps({" + ", ".join(f"{show(t)}: {show(v)}" for t, v in value.entries) + "})"
        case Pipeline():
            return " >> ".join(show(p) for p in value.parts)
        case Total():
            return " + ".join(show(p) for p in value.parts)
        case Data():
            base = {"file": "data", "files": f'files("{value.path}")'}.get(
                value.order, f"{value.order}(data, seed = {value.seed})"
            )
            if value.folds:
                what = "without" if value.outside else "fold"
                return f"kfold({base}, k = {value.folds}, {what} = {show(value.low * value.folds)})"
            if value.indices:
                return f"{base}[{show(value.low)}..{show(value.high)}]"
            return f"{base}[{show(value.low * 100)}%..{show(value.high * 100)}%]"
        case tuple() | list():
            return "[" + ", ".join(show(v) for v in value) + "]"
        case frozenset():
            return "{" + ", ".join(sorted(str(v) for v in value)) + "}"
        case dict():
            return "{" + ", ".join(f"{k}: {show(v)}" for k, v in value.items()) + "}"
        case str():
            return f'"{value}"'
        case _:
            return str(value)
