"""What the files of a run hold, so that anything else is refused where it is read.

A folder from elsewhere may hold anything. Whoever reads `run.json` may count on these kinds; keys
that are missing are for the reader to miss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Each:
    """A mapping from any text to values of one kind."""

    of: Any


@dataclass(frozen=True, slots=True)
class All:
    """A mapping that has all of these keys."""

    of: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A list of so many values of one kind."""

    of: Any
    length: int


NUMBER = (int, float)
_LOSS = {"loss": NUMBER, "accuracy": NUMBER}
_MEASURED = All(_LOSS)
_MIX = Each(Each([NUMBER]))
_MAYBE = (int, float, type(None))

ORDER: Mapping[str, Any] = {
    "items": Each(All({"name": str, "file": str})),
    "parameters": Each(str),
    "changes": Each(str),
    "seed": int,
    "device": str,
    "threads": int,
    "ranks": int,
    "batch_norm": str,
    "space_digest": str,
    "architectures": str,
    "recipe": Each(str),
    "train": Each(str),
    "split": Each(str),
    "fingerprints": Each(str),
    "data": All({"name": str, "shape": str, "classes": int}),
    "versions": Each(str),
    "environment": Each(str),
    "precision": str,
    "accumulate": int,
    "plugins": [Each(str)],
    "argv": [str],
    "started": str,
    "ended": str,
    "status": str,
    "accepted": [All({"at": str, "difference": [str]})],
}

SOURCES: Mapping[str, Any] = {
    "modules": Each(All({"name": str, "text": str})),
    "plugins": [All({"name": str, "text": str, "digest": str})],
    "imports": [Row(str, 3)],
    "items": Each(All({"name": str, "module": str})),
}

RESULT: Mapping[str, Any] = {
    "genotype": {"space": str, "picks": [Row(str, 2)], "outputs": Each([str])},
    "text": str,
    "mix": _MIX,
    "labels": Each([str]),
    "valid": _MEASURED,
    "valid_discrete": _MEASURED,
    "discretization_gap": NUMBER,
    "warnings": [str],
    "structure": {"phase": int, "kept": Each([str])},
    "tried": [All({"text": str, "epochs": int, "params": int, "macs": int, **_LOSS})],
    "seconds": NUMBER,
}

RETRAIN: Mapping[str, Any] = {
    "test": _MEASURED,
    "valid": _MEASURED,
    "params": int,
    "epochs": int,
    "seconds": NUMBER,
    "genotype": str,
}

RECORD: Mapping[str, Any] = {
    "epoch": int,
    "train": _MEASURED,
    "valid": _MEASURED,
    "lr": NUMBER,
    "seconds": NUMBER,
    "entropy": Each(NUMBER),
    "mix": _MIX,
    "labels": Each([str]),
    "genotype": str,
    "health": Each(_MAYBE),
    "health_seconds": NUMBER,
    "health_note": str,
}

LISTS: Mapping[str, Any] = {
    "parts": Each(All({"count": int, "fingerprint": str, "indices": str})),
}

FILES: Mapping[str, Mapping[str, Any]] = {
    "run.json": ORDER,
    "copies/run.json": ORDER,
    "sources.json": SOURCES,
    "copies/sources.json": SOURCES,
    "splits.json": LISTS,
    "result.json": RESULT,
    "retrain/result.json": RETRAIN,
}


def misfit(value: Any, kind: Any, where: str = "") -> str | None:
    """The first place that is not of its kind, such as `items.space.name`; None where all fits."""
    if isinstance(kind, Each):
        if not isinstance(value, dict):
            return where or "it"
        found = (misfit(v, kind.of, f"{where}.{k}") for k, v in value.items())
    elif isinstance(kind, All):
        if isinstance(value, dict):
            lacking = next((k for k in kind.of if k not in value), None)
            if lacking is not None:
                return f"{where}.{lacking}"
        return misfit(value, kind.of, where)
    elif isinstance(kind, Row):
        if not isinstance(value, list) or len(value) != kind.length:
            return where or "it"
        return misfit(value, [kind.of], where)
    elif isinstance(kind, Mapping):
        if not isinstance(value, dict):
            return where or "it"
        found = (misfit(value[k], of, f"{where}.{k}") for k, of in kind.items() if k in value)
    elif isinstance(kind, list):
        if not isinstance(value, list):
            return where or "it"
        found = (misfit(v, kind[0], f"{where}.{i}") for i, v in enumerate(value))
    else:
        # A truth value is an integer to Python, and to nobody else.
        fits = isinstance(value, kind) and not isinstance(value, bool)
        return None if fits else where or "it"
    return next((f for f in found if f is not None), None)
