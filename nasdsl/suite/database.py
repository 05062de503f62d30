"""What a store needs of a database: changes that happen whole or not at all, and a clock.

Statements are written once, in the SQL that SQLite and PostgreSQL share, with `?` for values. What
the two write differently is an attribute of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

Row = tuple[Any, ...]
T = TypeVar("T")

#: Of the tables. 1 had no names of suites, and tables without `nasdsl_` before their names.
SCHEMA = 2
#: A suite in a file has no name; in a server each has the digest of its cells.
_TABLES = """
create table if not exists nasdsl_meta (name text primary key, value text not null);
create table if not exists nasdsl_suites (
  suite text primary key, name text not null, about text not null, sources text not null,
  made double precision not null
);
create table if not exists nasdsl_cells (
  suite text not null, digest text not null, place integer not null, kind text not null,
  optimizer text not null, benchmark text not null, setting text not null, seed text not null,
  cell text not null, state text not null default 'pending', attempts integer not null default 0,
  worker text, beat double precision, seconds double precision, result text, error text,
  primary key (suite, digest)
);
create table if not exists nasdsl_needs (
  suite text not null, digest text not null, needed text not null,
  primary key (suite, digest, needed)
);
create table if not exists nasdsl_seals (
  suite text not null, digest text not null, seal text not null, primary key (suite, digest)
);
create table if not exists nasdsl_events (
  number {counter}, suite text not null, digest text not null, what text not null,
  worker text, at double precision
);
create index if not exists nasdsl_cells_open on nasdsl_cells (suite, state, place);
create index if not exists nasdsl_events_suite on nasdsl_events (suite, number)
"""


class Statements(Protocol):
    """Statements within one change."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """What a `select` finds."""
        ...

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Do one statement; how many rows it changed."""
        ...

    def each(self, sql: str, values: Iterable[Sequence[Any]]) -> int:
        """Do a statement for each of some values; how many rows that changed."""
        ...


class Database(Protocol):
    """A database that may hold suites. Methods raise SuiteError where it cannot be reached."""

    #: What messages call it; without a password.
    title: str
    #: SQL: seconds since 1970 by the clock of the database, the only one workers share.
    clock: str
    #: How a `select … from nasdsl_cells c` ends that passes over rows another change holds.
    skip: str
    #: Whether cells are sealed: nothing else would notice that a value was changed on the disk.
    seals: bool

    def change(self, do: Callable[[Statements], T]) -> T:
        """Everything `do` does, or nothing. It may be called again if the connection was lost."""
        ...

    def read(self, do: Callable[[Statements], T]) -> T:
        """What `do` finds; it changes nothing."""
        ...

    def another(self) -> Database:
        """Another connection to the same, for another thread."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


def tables(counter: str) -> list[str]:
    """The statements that make the tables; `counter` is the type of a key that counts."""
    return [s.format(counter=counter) for s in _TABLES.strip().split(";\n")]
