"""The cells of a suite and what came of them, in a database that many workers share.

Every change happens whole or not at all, so that a killed process leaves the store whole. A worker
claims a cell and says again and again that it is alive; a cell whose worker is gone (no such process
on the same machine, or silent for `LEASE` seconds by the clock of the database) may be claimed anew.
Only who holds a claim may finish it, so nothing is finished twice. `events` keeps who did what when.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nasdsl.suite.cell import Cell, Task
from nasdsl.suite.database import Database, Statements
from nasdsl.suite.errors import Damaged, SuiteError
from nasdsl.suite.seals import broken, seal
from nasdsl.suite.sqlite import Sqlite
from nasdsl.suite.worker import gone

State = Literal["pending", "running", "done", "failed"]
#: That all which a cell `c` needs is done.
_OPEN = """c.state = 'pending' and not exists (
  select 1 from nasdsl_needs n
  left join nasdsl_cells d on d.suite = n.suite and d.digest = n.needed
  where n.suite = c.suite and n.digest = c.digest and (d.state is null or d.state <> 'done')
)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A cell as it stands: `result` where it is done, `error` where an attempt failed."""

    cell: Cell
    state: State
    attempts: int
    worker: str | None
    seconds: float | None
    result: Mapping[str, Any] | None
    error: str | None


class Store:
    """The store of one suite of a database. Methods raise SuiteError."""

    def __init__(self, database: Database, suite: str = "") -> None:
        self.database, self.suite = database, suite

    def another(self) -> Store:
        """The same store by a connection of its own, for another thread."""
        return Store(self.database.another(), self.suite)

    def close(self) -> None:
        """End the connection."""
        self.database.close()

    # ---- what is to be done

    def add(self, cells: Iterable[Cell]) -> int:
        """Add cells that are not known yet; how many are new."""
        return self.database.change(lambda s: self.added(s, cells))

    def added(self, s: Statements, cells: Iterable[Cell]) -> int:
        """`add` as a part of a larger change."""
        known = tuple(cells)
        new = s.each(
            "insert into nasdsl_cells (suite, digest, place, kind, optimizer, benchmark, setting, "
            "seed, cell) values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
            [
                (
                    self.suite, c.digest, place, c.kind, c.names["optimizer"],
                    c.names["benchmark"], c.names.get("setting", ""), c.names.get("seed", ""),
                    json.dumps(c.plain(), sort_keys=True),
                )
                for place, c in enumerate(known)
            ],
        )  # fmt: skip
        needs = [(self.suite, c.digest, needed) for c in known for needed in c.needs]
        if needs:
            s.each(
                "insert into nasdsl_needs (suite, digest, needed) values (?, ?, ?) "
                "on conflict do nothing",
                needs,
            )
        self._seal(s, *(c.digest for c in known))
        return new

    def claim(self, worker: str) -> Stored | None:
        """A cell whose needs are done, now this worker's; None where there is none just now."""

        def claimed(s: Statements) -> Stored | None:
            self._give_up(s)
            found = s.rows(
                f"select c.digest from nasdsl_cells c where c.suite = ? and {_OPEN} "
                f"order by c.place limit 1 {self.database.skip}",
                (self.suite,),
            )
            if not found:
                return None
            digest = found[0][0]
            s.run(
                f"update nasdsl_cells set state = 'running', worker = ?, "
                f"beat = {self.database.clock}, attempts = attempts + 1 "
                "where suite = ? and digest = ?",
                (worker, self.suite, digest),
            )
            self._seal(s, digest)
            self._event(s, digest, "started", worker)
            return self._stored(s, "and digest = ?", (digest,))[0]

        return self.database.change(claimed)

    def _give_up(self, s: Statements) -> None:
        """Cells whose worker is gone are to be done again."""
        for digest, who, beat, silent in s.rows(
            f"select digest, worker, beat, {self.database.clock} - beat from nasdsl_cells "
            "where suite = ? and state = 'running'",
            (self.suite,),
        ):
            # Two may see that a worker is gone, and the second must not take from the first.
            if gone(who, silent) and s.run(
                "update nasdsl_cells set state = 'pending', worker = null "
                "where suite = ? and digest = ? and state = 'running' and worker = ? and beat = ?",
                (self.suite, digest, who, beat),
            ):
                self._seal(s, digest)
                self._event(s, digest, "lost", who)

    def beat(self, worker: str, digests: Iterable[str]) -> None:
        """Say that a worker is alive and at work on some cells."""
        held = [(worker, self.suite, d) for d in digests]
        if held:
            self.database.change(
                lambda s: s.each(
                    f"update nasdsl_cells set beat = {self.database.clock} "
                    "where worker = ? and suite = ? and digest = ? and state = 'running'",
                    held,
                )
            )

    def finish(self, digest: str, worker: str, result: Mapping[str, Any], seconds: float) -> bool:
        """Write the result of a claimed cell; false where the claim was lost."""
        text = json.dumps(result, sort_keys=True)
        return self._end(
            digest, worker, "done", "state = 'done', result = ?, error = null, seconds = "
            "coalesce(seconds, 0) + ?, worker = null", (text, seconds),
        )  # fmt: skip

    def fail(
        self, digest: str, worker: str, error: str, *, retries: int, seconds: float = 0.0
    ) -> bool:
        """An attempt went wrong: again, or failed for good after `retries` more attempts."""
        return self._end(
            digest, worker, "failed", "state = case when attempts > ? then 'failed' else 'pending' "
            "end, error = ?, seconds = coalesce(seconds, 0) + ?, worker = null",
            (retries, error, seconds),
        )  # fmt: skip

    def release(self, digest: str, worker: str, seconds: float = 0.0) -> bool:
        """Give a claim back unfinished; it does not count as an attempt."""
        return self._end(
            digest, worker, "released", "state = 'pending', attempts = attempts - 1, "
            "seconds = coalesce(seconds, 0) + ?, worker = null", (seconds,),
        )  # fmt: skip

    def _end(
        self, digest: str, worker: str, what: str, change: str, values: tuple[Any, ...]
    ) -> bool:
        def ended(s: Statements) -> bool:
            made = s.run(
                f"update nasdsl_cells set {change} "
                "where suite = ? and digest = ? and worker = ? and state = 'running'",
                (*values, self.suite, digest, worker),
            )
            if made:
                self._seal(s, digest)
                self._event(s, digest, what, worker)
            return bool(made)

        return self.database.change(ended)

    def again(self) -> int:
        """Give failed cells another chance; how many there are."""

        def once_more(s: Statements) -> int:
            failed = s.rows(
                "select digest from nasdsl_cells where suite = ? and state = 'failed'",
                (self.suite,),
            )
            made = s.run(
                "update nasdsl_cells set state = 'pending', attempts = 0 "
                "where suite = ? and state = 'failed'",
                (self.suite,),
            )
            self._seal(s, *(digest for (digest,) in failed))
            return made

        return self.database.change(once_more)

    def recall(self, digest: str, result: Mapping[str, Any]) -> None:
        """Write down what a cell gave before this store was made."""

        def recalled(s: Statements) -> None:
            s.run(
                "update nasdsl_cells set state = 'done', result = ? where suite = ? and digest = ?",
                (json.dumps(result, sort_keys=True), self.suite, digest),
            )
            self._seal(s, digest)
            self._event(s, digest, "done", None)

        self.database.change(recalled)

    def _seal(self, s: Statements, *digests: str) -> None:
        if self.database.seals:
            seal(s, self.suite, digests)

    def check(self) -> None:
        """Raises Damaged where a cell is not what was written, or the file of the store is broken."""
        if not isinstance(self.database, Sqlite):
            return
        self.database.check()
        wrong = self.database.read(lambda s: broken(s, self.suite))
        if wrong is not None:
            raise Damaged(f"{self.database.title} is damaged: {wrong}")

    def _event(self, s: Statements, digest: str, what: str, worker: str | None) -> None:
        s.run(
            "insert into nasdsl_events (suite, digest, what, worker, at) "
            f"values (?, ?, ?, ?, {self.database.clock})",
            (self.suite, digest, what, worker),
        )

    # ---- what there is

    def get(self, digest: str) -> Stored:
        """A cell by its digest. Raises SuiteError."""
        found = self.database.read(lambda s: self._stored(s, "and digest = ?", (digest,)))
        if not found:
            raise SuiteError(f"{self.database.title} has no cell {digest}")
        return found[0]

    def all(self) -> list[Stored]:
        """All cells in order."""
        return self.database.read(lambda s: self._stored(s, "", ()))

    def task(self, stored: Stored) -> Task:
        """A claimed cell with the results of those it needs. Raises SuiteError."""
        return Task(
            cell=stored.cell,
            attempt=stored.attempts,
            before={d: self.get(d).result or {} for d in stored.cell.needs},
        )

    def _stored(self, s: Statements, where: str, values: Sequence[Any]) -> list[Stored]:
        rows = s.rows(
            "select cell, state, attempts, worker, seconds, result, error from nasdsl_cells "
            f"where suite = ? {where} order by place",
            (self.suite, *values),
        )
        return [
            Stored(
                cell=Cell.of(json.loads(cell)),
                state=state,
                attempts=attempts,
                worker=worker,
                seconds=seconds,
                result=json.loads(result) if result else None,
                error=error,
            )
            for cell, state, attempts, worker, seconds, result, error in rows
        ]

    def events(self) -> list[tuple[str, str]]:
        """Digest and `started`, `done`, `failed`, `released` or `lost`, in order."""
        found = self.database.read(
            lambda s: s.rows(
                "select digest, what from nasdsl_events where suite = ? order by number",
                (self.suite,),
            )
        )
        return [(str(digest), str(what)) for digest, what in found]

    def counts(self) -> tuple[int, int]:
        """How many cells are done, and how many there are."""
        found = self.database.read(
            lambda s: s.rows(
                "select count(case when state = 'done' then 1 end), count(*) from nasdsl_cells "
                "where suite = ?",
                (self.suite,),
            )
        )
        return int(found[0][0]), int(found[0][1])

    def idle(self) -> bool:
        """Whether nothing runs and nothing can be claimed: done, or held up by failures."""
        # One statement, as what it sees is of one moment.
        return not self.database.read(
            lambda s: s.rows(
                f"select 1 from nasdsl_cells c where c.suite = ? and (c.state = 'running' or {_OPEN}) "
                "limit 1",
                (self.suite,),
            )
        )
