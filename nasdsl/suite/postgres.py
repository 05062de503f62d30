"""Suites on a PostgreSQL server, which the workers of many machines share.

A password is never written down: it belongs to the URL, or where libpq looks for it (`PGPASSWORD`,
`~/.pgpass`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from nasdsl.suite.database import SCHEMA, Row, T, tables
from nasdsl.suite.errors import SuiteError

if TYPE_CHECKING:
    import psycopg

SCHEMES = ("postgresql", "postgres")
#: Seconds that a lost connection is tried again: a server restarts in less.
PATIENCE = 60.0
#: Of the lock under which tables are made: two that make them at once must not meet.
_LOCK = 0x6E6173


def is_url(text: str) -> bool:
    """Whether a text is the URL of a PostgreSQL database."""
    return text.partition("://")[0] in SCHEMES and "://" in text


def without_password(url: str) -> str:
    """A URL that may be written down."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    kept = [(k, v) for k, v in parse_qsl(parts.query) if k not in ("password", "sslpassword")]
    netloc = user.partition(":")[0] + at + host
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(kept, safe="/"), ""))


class Postgres:
    """A database by its URL. Raises SuiteError where there is none, or no psycopg."""

    clock = "extract(epoch from clock_timestamp())::double precision"
    seals = False  # the server has its own checksums
    skip = "for update of c skip locked"

    def __init__(self, url: str, *, patience: float = PATIENCE) -> None:
        try:
            import psycopg
        except ModuleNotFoundError:
            raise SuiteError(
                "psycopg is not installed, a store on PostgreSQL needs it: "
                "pip install 'nasdsl[postgres]'"
            ) from None
        self.url, self.patience = url, patience
        self.title = without_password(url)
        self.errors = psycopg
        self.db = self._connect()
        self.change(lambda _: self._prepare())

    def _connect(self) -> psycopg.Connection[Row]:
        try:
            return self.errors.connect(self.url, autocommit=True, **_defaults(self.url))
        except self.errors.ProgrammingError:  # its text may hold a password
            raise SuiteError("the URL of the store is not well formed") from None
        except self.errors.Error as error:
            raise SuiteError(f"no connection to the store {self.title}: {_line(error)}") from None

    def _prepare(self) -> None:
        """Make the tables where there are none."""
        if self.rows("select to_regclass('nasdsl_meta')") == [(None,)]:
            self.rows("select pg_advisory_xact_lock(?)", (_LOCK,))
            for statement in tables("bigint generated always as identity primary key"):
                self.run(statement)
            self.run(
                "insert into nasdsl_meta values ('schema', ?) on conflict do nothing",
                (str(SCHEMA),),
            )
        found = self.rows("select value from nasdsl_meta where name = 'schema'")
        if found != [(str(SCHEMA),)]:
            version = found[0][0] if found else "none"
            raise SuiteError(f"{self.title} is a store of version {version}, this reads {SCHEMA}")

    def change(self, do: Callable[[Postgres], T]) -> T:
        """See Database."""
        end = None
        while True:
            try:
                with self.db.transaction():
                    return do(self)
            except (
                self.errors.errors.SerializationFailure, self.errors.errors.DeadlockDetected,
            ):  # fmt: skip
                continue
            except self.errors.Error as error:
                if not self.db.closed:
                    raise SuiteError(f"the store {self.title}: {_line(error)}") from None
                end = end or time.monotonic() + self.patience
                self._reconnect(end, error)

    def read(self, do: Callable[[Postgres], T]) -> T:
        """See Database."""
        return self.change(do)

    def _reconnect(self, end: float, lost: Exception) -> None:
        """A new connection, tried until a moment. Raises SuiteError."""
        while True:
            try:
                self.db = self._connect()
                return
            except SuiteError:
                if time.monotonic() > end:
                    raise SuiteError(
                        f"the connection to the store {self.title} was lost: {_line(lost)}"
                    ) from None
                time.sleep(min(1.0, self.patience / 4))

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """See Statements."""
        return self._do(sql, values).fetchall()

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """See Statements."""
        return self._do(sql, values).rowcount

    def _do(self, sql: str, values: Sequence[Any]) -> psycopg.Cursor[Row]:
        return self.db.execute(sql.replace("?", "%s").encode(), values or None)

    def each(self, sql: str, values: Iterable[Sequence[Any]]) -> int:
        """See Statements."""
        with self.db.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s").encode(), values)
            return max(0, cursor.rowcount)

    def another(self) -> Postgres:
        """See Database."""
        return Postgres(self.url, patience=self.patience)

    def close(self) -> None:
        """See Database."""
        self.db.close()


def _defaults(url: str) -> dict[str, Any]:
    """What a connection has where the URL does not say otherwise."""
    found = {"connect_timeout": 10, "application_name": "nasdsl"}
    return {k: v for k, v in found.items() if k not in dict(parse_qsl(urlsplit(url).query))}


def _line(error: Exception) -> str:
    """The first line of what the server or libpq says, which may be several."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
