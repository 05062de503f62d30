"""What a `suite` block asks for: its lists, with names and changes as a run takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.model import CompileError
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.driver import Loaded, UnknownName
from nasdsl.ir.config import Component, Ref, Settings, Word, show
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.statistics.factors import ALIASES, DIMENSIONS

#: Slots of a suite that list blocks, with the kind of block.
LISTS = {
    "spaces": "space",
    "recipes": "recipe",
    "datasets": "dataset",
    "splits": "split",
    "retrain": "train",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A block by name with changed numbers, as text: `bench_300`, `{"lr": "1/40"}`."""

    kind: str
    name: str
    label: str
    changes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A suite as it is written.

    `choose` is `("all", "")` or `("min" | "max", measure)`; `measure` is what is reported, by the
    `best` of the settings or their mean. `by` are factors whose levels are compared, each with the
    `k` of `precision_at` or None. `datasets` is empty where each space brings its own.
    """

    name: str
    spaces: tuple[Entry, ...]
    recipes: tuple[Entry, ...]
    datasets: tuple[Entry, ...]
    splits: tuple[Entry, ...]
    retrain: tuple[Entry, ...]
    seeds: tuple[int, ...]
    choose: tuple[str, str]
    measure: str
    disjoint: bool
    best: bool
    by: tuple[tuple[str, int | None], ...] = ()


def suite_name(loaded: Loaded, name: str | None) -> str:
    """The suite asked for, else the only one of the file, or the one it was asked for by.

    Raises UnknownName, SuiteError.
    """
    names = loaded.program.names("suite")
    if name is not None or loaded.asked in names:
        wanted = name or loaded.asked
        if wanted not in names:
            advice = did_you_mean(wanted, names)
            raise UnknownName(
                f"{loaded.source.name} has no suite `{wanted}`" + (f"; {advice}" if advice else "")
            )
        return wanted
    if len(names) != 1:
        raise SuiteError(
            f"{loaded.source.name} has no suite"
            if not names
            else f"{loaded.source.name} has several suites; --suite says which: {', '.join(names)}"
        )
    return names[0]


def declared(loaded: Loaded, name: str) -> Declared:
    """A suite of a loaded file. Raises CompileError, SuiteError."""
    program = loaded.program
    before = len(program.diags)
    made = program.settings("suite", name)
    found = program.diags.items[before:]
    if made is None or any(d.severity == "error" for d in found):
        raise CompileError(tuple(found or program.diags))
    if made.get("onto") is not None:
        raise SuiteError(f"suite `{name}`: `onto` is understood but this version does not run it")
    lists = {
        slot: _entries(made, slot, kind)
        for slot, kind in LISTS.items()
        if slot != "datasets" or made.get(slot) is not None
    }
    lists.setdefault("datasets", ())
    by = _factors(made)
    _known_factors(name, by, lists)
    seeds = made.get("seeds")
    if not isinstance(seeds, tuple) or not seeds:
        raise SuiteError(f"suite `{name}` has no `seeds`")
    measure, best = _measure(made)
    return Declared(
        name=name,
        seeds=tuple(dict.fromkeys(int(s) for s in seeds)),
        choose=_choose(made),
        measure=measure,
        best=best,
        disjoint=bool(made.get("disjoint")),
        by=by,
        **lists,
    )


def _entries(made: Settings, slot: str, kind: str) -> tuple[Entry, ...]:
    refs = made.get(slot)
    if not isinstance(refs, tuple) or not refs:
        raise SuiteError(f"suite `{made.name}` has no `{slot}`")
    found: dict[str, Entry] = {}
    for ref in refs:
        if not isinstance(ref, Ref):
            raise SuiteError(f"suite `{made.name}`: `{slot}` holds {show(ref)}, which is no {kind}")
        entry = _entry(made.name, slot, kind, ref)
        found[entry.label] = entry
    return tuple(found.values())


def _entry(suite: str, slot: str, kind: str, ref: Ref) -> Entry:
    for name, value in ref.changes:
        if not isinstance(value, Fraction | bool):
            raise SuiteError(
                f"suite `{suite}`: `{slot}` changes `{name}` of `{ref.name}` to {show(value)}; only "
                f"numbers and true or false can be changed there (define a {kind} of its own)"
            )
        if kind == "dataset":
            raise SuiteError(
                f"suite `{suite}`: `{ref.name}` is changed; define a dataset of its own"
            )
    short = ref.name.rpartition(".")[2]
    label = str(Ref(ref.kind, short, ref.changes))
    changes = tuple((k, str(v).lower() if isinstance(v, bool) else str(v)) for k, v in ref.changes)
    return Entry(kind=kind, name=ref.name, label=label, changes=changes)


def _choose(made: Settings) -> tuple[str, str]:
    chosen = made.get("choose")
    match chosen:
        case None:
            return "all", ""
        case Word() if chosen.text == "all":
            return "all", ""
        case Component() if chosen.name in ("min", "max") and len(chosen.args) == 1:
            return chosen.name, show(chosen.args[0][1])
        case _:
            raise SuiteError(f"suite `{made.name}`: `choose = {show(chosen)}` is not understood")


def _measure(made: Settings) -> tuple[str, bool]:
    """What is reported, and whether by the best of the settings."""
    terms = _terms(made)
    named = [str(m) for t in terms if (m := t.get("measure")) is not None]
    best = any(t.name == "best" or str(t.get("of")) == "best" for t in terms)
    return (named or ["test.accuracy"])[0], best


def _factors(made: Settings) -> tuple[tuple[str, int | None], ...]:
    """What entries are asked for `by`, once each; the `k` of `precision_at` goes with its own."""
    found: dict[str, int | None] = {}
    for term in _terms(made):
        by = term.get("by")
        if by is not None:
            k = int(term.get("k")) if term.name == "precision_at" else None
            found[str(by)] = k if k is not None else found.get(str(by))
    return tuple(found.items())


def _known_factors(
    suite: str, by: tuple[tuple[str, int | None], ...], lists: Mapping[str, tuple[Entry, ...]]
) -> None:
    """Refuse a factor that nothing in the suite has several levels of."""
    values: dict[str, set[str]] = {}
    for slot, entries in lists.items():
        for entry in entries:
            for parameter, value in entry.changes:
                values.setdefault(f"{slot}.{parameter}", set()).add(value)
    several = {key.partition(".")[2] for key, found in values.items() if len(found) > 1}
    known = [d for d in (*DIMENSIONS, *ALIASES) if d != "optimizer"]
    for name, _ in by:
        if name not in known and name not in several:
            advice = did_you_mean(name, [*sorted(several), *known])
            raise SuiteError(
                f"suite `{suite}`: `by = {name}`: no calls in it give `{name}` different values"
                + (f"; {advice}" if advice else "")
            )


def _terms(made: Settings) -> tuple[Component, ...]:
    report: Any = made.get("report")
    return tuple(t for t in report or () if isinstance(t, Component))
