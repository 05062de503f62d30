"""Whether a run folder holds the run that is asked for, and what differs if it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import unified_diff
from typing import Any

from nasdsl.training import record
from nasdsl.training.record import RunFolder

#: What decides a run; the rest of an order says where and when it was begun.
DECIDES = (
    "items", "parameters", "changes", "seed", "space_digest", "recipe", "train", "split",
    "fingerprints", "data", "plugins", "batch_norm", "precision", "accumulate",
)  # fmt: skip
#: More lines of a difference than this help nobody.
_LINES = 60


def differences(
    folder: RunFolder, order: Mapping[str, Any], sources: Mapping[str, Any]
) -> list[str]:
    """A unified difference from the run of a folder to another order; empty where they are one.

    A program that was changed without changing what it says (comments, names of files) is the same.
    """
    old = folder.read("run.json")
    left, right = list(_lines(old)), list(_lines(json.loads(json.dumps(order))))
    if left == right:
        return []
    found = list(unified_diff(left, right, "the run", "now", lineterm="", n=0))
    kept = folder.read("sources.json").get("modules", {})
    now = sources.get("modules", {})
    for key in sorted({*kept, *now}):
        was, is_ = (str(m.get(key, {}).get("text", "")).splitlines() for m in (kept, now))
        name = str((now.get(key) or kept.get(key) or {}).get("name", key))
        found += unified_diff(was, is_, f"{name} (the run)", f"{name} (now)", lineterm="", n=1)
    if len(found) > _LINES:
        found = [*found[:_LINES], f"... {len(found) - _LINES} more lines"]
    return found


def accept(
    folder: RunFolder, order: Mapping[str, Any], sources: Mapping[str, Any], diff: list[str]
) -> None:
    """Go on with another program; the run says since when. Raises RunError where it is done."""
    old = folder.read("run.json")
    if old.get("status") == "done":
        raise record.RunError(f"{folder.path} is done; its results are those of its own program")
    accepted = [*old.get("accepted", []), {"at": record.now(), "difference": diff}]
    new = {**old, **order, "accepted": accepted}
    for name, value in (("sources.json", dict(sources)), ("run.json", new)):
        folder.write(f"copies/{name}", value)
        folder.write(name, value)


def lines(order: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Everything that decides a run, by name."""
    for name in DECIDES:
        value = order.get(name)
        if name == "items":
            value = {kind: item.get("name") for kind, item in (value or {}).items()}
        if isinstance(value, dict):
            for key, each in sorted(value.items()):
                yield f"{name}.{key}", str(each)
        elif value or value == 0:
            yield name, str(value)


def circumstances(order: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How and where a run was made, by name: what changes its last digits and decides nothing."""
    for name in ("device", "profile", "threads", "cuda_graph", "sharded"):
        if (value := order.get(name)) is not None:
            yield name, str(value)
    for name in ("versions", "environment"):
        for key, value in sorted((order.get(name) or {}).items()):
            yield f"{name}.{key}", str(value)


def _lines(order: Mapping[str, Any]) -> Iterator[str]:
    return (f"{name} = {value}" for name, value in lines(order))
