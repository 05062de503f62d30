"""A discrete architecture: what was picked for each decision."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Genotype:
    """Picks in order: decision identity and label.

    An edge with no pick is not in the architecture; two picks for one identity are two parallel
    operations. `outputs` replaces the nodes a cell's output joins, where it differs from the
    space's. `digest` is the digest of the space it was found in, if known.
    """

    space: str
    picks: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    digest: str | None = None

    def of(self, identity: str) -> tuple[str, ...]:
        """Labels picked for a decision; none, one or several."""
        return tuple(label for key, label in self.picks if key == identity)

    def as_json(self) -> dict[str, Any]:
        """The neutral form."""
        return {
            "schema": SCHEMA,
            "space": self.space,
            "digest": self.digest,
            "picks": [list(p) for p in self.picks],
            "outputs": {cell: list(nodes) for cell, nodes in self.outputs},
        }

    def dumps(self) -> str:
        return json.dumps(self.as_json(), indent=2) + "\n"


class GenotypeError(ValueError):
    """A text is no genotype, or not one of this space."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object none of whose keys is given twice; the last one would win unseen."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise GenotypeError(f"`{key[:60]}` is given twice")
        found[key] = value
    return found


def loads(text: str) -> Genotype:
    """The genotype of a neutral JSON text. Raises GenotypeError naming what is wrong."""
    try:
        data = json.loads(text, object_pairs_hook=_once)
    except GenotypeError:
        raise
    except ValueError as error:  # no JSON, or a number of thousands of digits
        raise GenotypeError(f"not JSON: {error}") from None
    except RecursionError:
        raise GenotypeError("not a genotype: nested too deeply") from None
    if not isinstance(data, dict) or "picks" not in data:
        raise GenotypeError("not a genotype: an object with `picks` is wanted")
    if data.get("schema") != SCHEMA:
        raise GenotypeError(f"schema {data.get('schema')!r} is unknown; this nasdsl reads {SCHEMA}")
    picks, outputs = data["picks"], data.get("outputs") or {}
    if not isinstance(picks, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(isinstance(s, str) for s in p) for p in picks
    ):
        raise GenotypeError("`picks` is a list of [decision, label] pairs")
    if not isinstance(outputs, dict) or not all(
        isinstance(v, list) and all(isinstance(s, str) for s in v) for v in outputs.values()
    ):
        raise GenotypeError("`outputs` maps a cell to a list of nodes")
    space, digest = data.get("space"), data.get("digest")
    if not isinstance(space, str) or not (digest is None or isinstance(digest, str)):
        raise GenotypeError("`space` is a name, `digest` a text or null")
    return Genotype(
        space=space,
        picks=tuple((p[0], p[1]) for p in picks),
        outputs=tuple((k, tuple(v)) for k, v in outputs.items()),
        digest=digest,
    )
