"""The cells of a suite and what came of them, in one SQLite file that many workers share.

Every change is one transaction, so that a killed process leaves the store whole. A worker claims a
cell and says again and again that it is alive; a cell whose worker is gone (no such process on the
same machine, or silent for `LEASE` seconds) may be claimed anew. Only who holds a claim may finish
it, so nothing is finished twice. `events` keeps who did what when.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nasdsl.suite.cell import Cell
from nasdsl.suite.errors import SuiteError

State = Literal["pending", "running", "done", "failed"]
#: Seconds without a sign of life after which a worker on another machine counts as gone.
LEASE = 120.0
SCHEMA = 1
_TABLES = """
create table if not exists meta (name text primary key, value text not null);
create table if not exists cells (
  digest text primary key, place integer not null, kind text not null,
  optimizer text not null, benchmark text not null, setting text not null, seed text not null,
  cell text not null, state text not null default 'pending', attempts integer not null default 0,
  worker text, beat real, seconds real, result text, error text
);
create table if not exists needs (
  digest text not null, needed text not null, primary key (digest, needed)
);
create table if not exists events (
  number integer primary key, digest text not null, what text not null, worker text, at real
);
"""


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


def worker_name() -> str:
    """This process among all that may share a store: host, process, when the process began."""
    return f"{socket.gethostname()}:{os.getpid()}:{_began(os.getpid())}"


def _began(pid: int) -> str:
    """When a process of this machine began, as the system counts; empty where it cannot be told."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        return text.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _gone(worker: str | None, beat: float | None) -> bool:
    host, _, rest = (worker or "").rpartition(":")[0].rpartition(":")
    began = (worker or "").rpartition(":")[2]
    if host == socket.gethostname() and rest.isdigit():
        try:
            os.kill(int(rest), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return bool(began) and _began(int(rest)) != began
    return beat is None or time.time() - beat > LEASE


class Store:
    """The store of a suite. Raises SuiteError where the file is no store."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.db = sqlite3.connect(path, timeout=60, isolation_level=None)
            self.db.execute("pragma synchronous = full")
            version = self.db.execute("pragma user_version").fetchone()[0]
            if version == 0:
                with self._change():
                    for statement in _TABLES.strip().split(";\n"):
                        self.db.execute(statement)
                    self.db.execute(f"pragma user_version = {SCHEMA}")
            elif version != SCHEMA:
                raise SuiteError(f"{path} is a store of version {version}, this reads {SCHEMA}")
        except sqlite3.DatabaseError as error:
            raise SuiteError(f"{path} is no store of a suite: {error}") from None

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def _change(self) -> Iterator[None]:
        """A transaction that no other worker writes in."""
        self.db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self.db.execute("rollback")
            raise
        self.db.execute("commit")

    # ---- what is to be done

    def add(self, cells: Iterable[Cell]) -> int:
        """Add cells that are not known yet; how many are new."""
        new = 0
        with self._change():
            for place, c in enumerate(cells):
                row = self.db.execute(
                    "insert or ignore into cells (digest, place, kind, optimizer, benchmark, "
                    "setting, seed, cell) values (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        c.digest, place, c.kind, c.names["optimizer"], c.names["benchmark"],
                        c.names.get("setting", ""), c.names.get("seed", ""), _written(c),
                    ),
                )  # fmt: skip
                new += row.rowcount
                for needed in c.needs:
                    self.db.execute("insert or ignore into needs values (?, ?)", (c.digest, needed))
        return new

    def claim(self, worker: str) -> Stored | None:
        """A cell whose needs are done, now this worker's; None where there is none just now."""
        with self._change():
            for digest, who, beat in self.db.execute(
                "select digest, worker, beat from cells where state = 'running'"
            ).fetchall():
                if _gone(who, beat):
                    self.db.execute(
                        "update cells set state = 'pending', worker = null where digest = ?",
                        (digest,),
                    )
                    self._event(digest, "lost", who)
            row = self.db.execute(
                "select digest from cells c where state = 'pending' and not exists ("
                "select 1 from needs n left join cells d on d.digest = n.needed "
                "where n.digest = c.digest and (d.state is null or d.state != 'done')) "
                "order by place limit 1"
            ).fetchone()
            if row is None:
                return None
            self.db.execute(
                "update cells set state = 'running', worker = ?, beat = ?, "
                "attempts = attempts + 1 where digest = ?",
                (worker, time.time(), row[0]),
            )
            self._event(row[0], "started", worker)
        return self.get(row[0])

    def beat(self, worker: str) -> None:
        """Say that a worker is alive."""
        with self._change():
            self.db.execute(
                "update cells set beat = ? where worker = ? and state = 'running'",
                (time.time(), worker),
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
        with self._change():
            made = self.db.execute(
                f"update cells set {change} where digest = ? and worker = ? and state = 'running'",
                (*values, digest, worker),
            )
            if made.rowcount:
                self._event(digest, what, worker)
        return bool(made.rowcount)

    def again(self) -> int:
        """Give failed cells another chance; how many there are."""
        with self._change():
            made = self.db.execute(
                "update cells set state = 'pending', attempts = 0 where state = 'failed'"
            )
        return made.rowcount

    def _event(self, digest: str, what: str, worker: str | None) -> None:
        self.db.execute(
            "insert into events (digest, what, worker, at) values (?, ?, ?, ?)",
            (digest, what, worker, time.time()),
        )

    # ---- what there is

    def get(self, digest: str) -> Stored:
        """A cell by its digest. Raises SuiteError."""
        found = self._rows("where digest = ?", (digest,))
        if not found:
            raise SuiteError(f"{self.path} has no cell {digest}")
        return found[0]

    def all(self) -> list[Stored]:
        """All cells in order."""
        return self._rows("", ())

    def _rows(self, where: str, values: tuple[Any, ...]) -> list[Stored]:
        rows = self.db.execute(
            f"select cell, state, attempts, worker, seconds, result, error from cells {where} "
            "order by place",
            values,
        ).fetchall()
        return [
            Stored(
                cell=_read(cell),
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
        return list(self.db.execute("select digest, what from events order by number"))

    def idle(self) -> bool:
        """Whether nothing runs and nothing can be claimed: done, or held up by failures."""
        with self._change():
            running = self.db.execute(
                "select count(*) from cells where state = 'running'"
            ).fetchone()[0]
            open_ = self.db.execute(
                "select count(*) from cells c where state = 'pending' and not exists ("
                "select 1 from needs n left join cells d on d.digest = n.needed "
                "where n.digest = c.digest and (d.state is null or d.state != 'done'))"
            ).fetchone()[0]
        return not running and not open_


def _written(c: Cell) -> str:
    return json.dumps(
        {
            "digest": c.digest, "kind": c.kind, "names": dict(c.names), "order": dict(c.order),
            "needs": list(c.needs), "estimate": dict(c.estimate),
        },
        sort_keys=True,
    )  # fmt: skip


def _read(text: str) -> Cell:
    found = json.loads(text)
    return Cell(
        digest=found["digest"],
        kind=found["kind"],
        names=found["names"],
        order=found["order"],
        needs=tuple(found["needs"]),
        estimate=found["estimate"],
    )
