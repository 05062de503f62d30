"""The suites that a database holds, told apart by name and digest.

The digest of a suite is that of its cells and of what is reported, so that the same suite from two
machines is one, and a suite that was changed is another of the same name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasdsl.suite.cell import Cell, digest_of
from nasdsl.suite.database import Database, Statements
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A suite as a database lists it."""

    suite: str
    name: str
    cells: int
    done: int
    failed: int

    @property
    def line(self) -> str:
        """`duel     3f2a…  12 of 16 cells done, 1 failed`."""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.name}  {self.suite}  {self.done} of {self.cells} cells done{failed}"


def suite_digest(about: Mapping[str, Any], cells: Sequence[Cell]) -> str:
    """That of a suite: its cells, its name and what is reported; not the file it was written in."""
    what = {k: v for k, v in about.items() if k != "file"}
    return digest_of({**what, "digests": sorted(c.digest for c in cells)})


def keep(
    store: Store, about: Mapping[str, Any], sources: Mapping[str, Any], cells: Sequence[Cell]
) -> None:
    """Put a suite into a database: its cells, what it is, and the texts it was compiled from."""

    def kept(s: Statements) -> None:
        s.run(
            "insert into nasdsl_suites (suite, name, about, sources, made) "
            f"values (?, ?, ?, ?, {store.database.clock}) on conflict do nothing",
            (store.suite, about["suite"], json.dumps(about), json.dumps(sources)),
        )
        store.added(s, cells)

    store.database.change(kept)


def listed(database: Database) -> list[Kept]:
    """All suites, the oldest first."""
    rows = database.read(
        lambda s: s.rows(
            "select k.suite, k.name, count(c.digest), "
            "count(case when c.state = 'done' then 1 end), "
            "count(case when c.state = 'failed' then 1 end) "
            "from nasdsl_suites k left join nasdsl_cells c on c.suite = k.suite "
            "group by k.suite, k.name, k.made order by k.made, k.suite"
        )
    )
    return [Kept(suite=s, name=n, cells=c, done=d, failed=f) for s, n, c, d, f in rows]


def find(database: Database, which: str | None) -> Kept:
    """The suite of a name or of a digest that begins so; the only one where None is asked for.

    Raises SuiteError, with what there is.
    """
    known = listed(database)
    found = [k for k in known if which is None or k.name == which]
    if which is not None and not found and len(which) >= 4:
        found = [k for k in known if k.suite.startswith(which)]
    if len(found) == 1:
        return found[0]
    there = "".join(f"\n  {k.line}" for k in found or known)
    if not known:
        raise SuiteError(f"{database.title} holds no suite yet")
    if not found:
        raise SuiteError(f"{database.title} has no suite `{which}`; it has:{there}")
    raise SuiteError(
        f"--suite, by name or the beginning of its digest, says which is meant:{there}"
    )


def texts(database: Database, suite: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a suite says about itself, and its sources. Raises SuiteError."""
    found = database.read(
        lambda s: s.rows("select about, sources from nasdsl_suites where suite = ?", (suite,))
    )
    if not found:
        raise SuiteError(f"{database.title} has no suite `{suite}`")
    return json.loads(found[0][0]), json.loads(found[0][1])
