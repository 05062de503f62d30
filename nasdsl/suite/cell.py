"""A cell of a suite: one piece of work with a digest, and what it needs first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["search", "pick", "retrain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A search, the choice among searches, or a retraining with its evaluation.

    `digest` is that of everything which decides the result, `needs` those of the cells before it.
    `names` are the labels by which results are reported: optimizer, benchmark, setting, seed.
    `order` is what `work` executes; `estimate` what it is expected to cost.
    """

    digest: str
    kind: Kind
    names: Mapping[str, str]
    order: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    estimate: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """`search  darts on wide, seed 0`."""
        parts = [f"{self.names['optimizer']} on {self.names['benchmark']}"]
        if self.names.get("setting"):
            parts.append(self.names["setting"])
        if self.names.get("seed"):
            parts.append(f"seed {self.names['seed']}")
        return f"{self.kind:7} {', '.join(parts)}"

    def plain(self) -> dict[str, Any]:
        """The cell as JSON; `of` reads it."""
        return {
            "digest": self.digest, "kind": self.kind, "names": dict(self.names),
            "order": dict(self.order), "needs": list(self.needs), "estimate": dict(self.estimate),
        }  # fmt: skip

    @staticmethod
    def of(found: Mapping[str, Any]) -> Cell:
        """The cell that `plain` wrote. Raises KeyError where it is none."""
        return Cell(
            digest=found["digest"],
            kind=found["kind"],
            names=found["names"],
            order=found["order"],
            needs=tuple(found["needs"]),
            estimate=found["estimate"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A cell that is to be done now: its attempt from 1, and the results it needs, by digest."""

    cell: Cell
    attempt: int
    before: Mapping[str, Mapping[str, Any]]


def digest_of(what: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 of a value as canonical JSON."""
    text = json.dumps(what, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
