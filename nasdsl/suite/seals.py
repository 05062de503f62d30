"""Digests of what the cells of a suite say, in a table of their own.

SQLite finds a broken structure of its file, not a changed value; nothing else stands between a bad
disk and a table of results. The sign of life of a worker is not sealed, and neither are events: they
are for people, nothing is decided by them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from nasdsl.suite.database import Row, Statements

_SEALED = (
    "digest, place, kind, optimizer, benchmark, setting, seed, cell, state, attempts, worker, "
    "seconds, result, error"
)


def seal(s: Statements, suite: str, digests: Iterable[str]) -> None:
    """Seal cells that were made or changed, in the same change."""
    for digest in digests:
        row = s.rows(
            f"select {_SEALED} from nasdsl_cells where suite = ? and digest = ?", (suite, digest)
        )[0]
        s.run(
            "insert into nasdsl_seals (suite, digest, seal) values (?, ?, ?) "
            "on conflict (suite, digest) do update set seal = excluded.seal",
            (suite, digest, _of(row)),
        )


def seal_all(s: Statements, suite: str) -> None:
    """Seal every cell."""
    rows = s.rows("select digest from nasdsl_cells where suite = ?", (suite,))
    seal(s, suite, [digest for (digest,) in rows])


def broken(s: Statements, suite: str) -> str | None:
    """What of a suite is not what was written; None where all is."""
    seals: dict[str, str] = dict(
        s.rows("select digest, seal from nasdsl_seals where suite = ?", (suite,))
    )
    rows = s.rows(f"select {_SEALED} from nasdsl_cells where suite = ?", (suite,))
    if {row[0]: _of(row) for row in rows} != seals:
        return "a cell is not what was written"
    wanted = {(row[0], needed) for row in rows for needed in json.loads(row[7])["needs"]}
    needs = s.rows("select digest, needed from nasdsl_needs where suite = ?", (suite,))
    return None if set(needs) == wanted else "what cells need is not what was written"


def _of(row: Row) -> str:
    return hashlib.sha256(json.dumps(list(row), default=repr).encode()).hexdigest()
