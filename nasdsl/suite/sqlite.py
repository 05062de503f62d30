"""A suite in one SQLite file, which the workers of a machine share."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from nasdsl.suite.database import SCHEMA, Row, T, tables
from nasdsl.suite.errors import Damaged, SuiteError
from nasdsl.suite.seals import seal_all

#: Seconds that a change waits for those of others.
_PATIENCE = 60
#: What keeps a sound file from being used. The rest is damage.
_OUTSIDE = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM,
})  # fmt: skip
#: What a damaged file makes SQLite raise; what it says may be no text itself.
_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_RENAMED = ("cells", "needs", "events", "meta")


class Sqlite:
    """A file. Raises Damaged where it is no store, SuiteError where it cannot be used."""

    clock = "((julianday('now') - 2440587.5) * 86400.0)"
    skip = ""  # only one change happens at a time
    seals = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.title = str(path)
        try:
            self.db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
            self.db.execute("pragma synchronous = full")
            if self._version() != SCHEMA:
                self.change(lambda _: self._prepare())
        except _ERRORS as error:
            raise self._failed(error, f"{path} is no store of a suite: {error}") from None

    def _failed(self, error: Exception, damage: str) -> SuiteError:
        """What SQLite cannot do, said for people; `damage` where it is the file's fault."""
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & 0xFF
        if primary == sqlite3.SQLITE_FULL:
            return SuiteError(
                f"{self.path}: the disk is full; what was written before it stands. Make room, "
                "then run the same command again"
            )
        if primary in _OUTSIDE:
            return SuiteError(f"{self.path} cannot be used: {error}")
        return Damaged(damage)

    def check(self) -> None:
        """Raises Damaged where the structure of the file is broken."""
        (found,) = self.read(lambda s: s.rows("pragma integrity_check(1)"))[0]
        if found != "ok":
            raise Damaged(f"{self.path} is damaged: {found}")

    def _version(self) -> int:
        return int(self.db.execute("pragma user_version").fetchone()[0])

    def _prepare(self) -> None:
        """Make the tables, or bring those of version 1 up to date; another may have been faster."""
        version = self._version()
        if version not in (0, 1, SCHEMA):
            raise Damaged(f"{self.path} is a store of version {version}, this reads {SCHEMA}")
        if version == 1:
            for name in _RENAMED:
                self.db.execute(f"alter table {name} rename to nasdsl_{name}")
            for name in ("cells", "needs", "events"):
                self.db.execute(
                    f"alter table nasdsl_{name} add column suite text not null default ''"
                )
        for statement in tables("integer primary key"):
            self.db.execute(statement)
        if version == 1:
            seal_all(self, "")
        self.db.execute(f"pragma user_version = {SCHEMA}")

    def change(self, do: Callable[[Sqlite], T]) -> T:
        """See Database."""
        try:
            self.db.execute("begin immediate")
            try:
                made = do(self)
                self.db.execute("commit")
            except BaseException:
                # A full disk may have ended it already.
                with contextlib.suppress(sqlite3.Error):
                    self.db.execute("rollback")
                raise
        except _ERRORS as error:
            raise self._failed(error, f"the store {self.path}: {error}") from None
        return made

    def read(self, do: Callable[[Sqlite], T]) -> T:
        """See Database."""
        try:
            return do(self)
        except _ERRORS as error:
            raise self._failed(error, f"the store {self.path}: {error}") from None

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """See Statements."""
        return self.db.execute(sql, values).fetchall()

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """See Statements."""
        return self.db.execute(sql, values).rowcount

    def each(self, sql: str, values: Iterable[Sequence[Any]]) -> int:
        """See Statements."""
        return max(0, self.db.executemany(sql, values).rowcount)

    def another(self) -> Sqlite:
        """See Database."""
        return Sqlite(self.path)

    def close(self) -> None:
        """See Database."""
        self.db.close()
