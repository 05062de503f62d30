"""A PostgreSQL server for all tests of a process, and stores in it and in a file."""

from __future__ import annotations

import itertools
import sys

import postgres_server
import pytest

from nasdsl.suite.postgres import Postgres
from nasdsl.suite.sqlite import Sqlite
from nasdsl.suite.store import Store

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server():
    with postgres_server.running() as found:
        yield found


@pytest.fixture
def database(server):
    """The URL of a database of its own."""
    return server.database(f"t{next(_numbers)}")


@pytest.fixture(params=["sqlite", "postgresql"])
def connect(request, tmp_path):
    """Opens a store of one suite, as often as it is called; in both kinds of databases."""
    opened = []
    if request.param == "sqlite":
        place, make = tmp_path / "store.sqlite", Sqlite
    else:
        place, make = request.getfixturevalue("database"), Postgres

    def open_(suite=""):
        opened.append(Store(make(place), suite))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def missing(monkeypatch):
    """Makes a package one that is not installed."""
    return lambda name: monkeypatch.setitem(sys.modules, name, None)
