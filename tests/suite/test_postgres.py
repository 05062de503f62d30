"""Stores on a server: URLs, connections that are lost, servers that are not there."""

from __future__ import annotations

import threading

import pytest

from nasdsl.suite.cell import Cell, digest_of
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.postgres import Postgres, is_url, without_password
from nasdsl.suite.store import Store


def cell(name):
    names = {"optimizer": "o", "benchmark": name, "setting": "", "seed": "0"}
    return Cell(digest=digest_of({"n": name}), kind="search", names=names, order={})


def test_passwords_are_not_written_down():
    for url, kept_ in {
        "postgresql://me:secret@host:5433/db": "postgresql://me@host:5433/db",
        "postgres://me@host/db?sslmode=require&password=secret": "postgres://me@host/db?sslmode=require",
        "postgresql://me@/db?host=/var/run/pg": "postgresql://me@/db?host=/var/run/pg",
        "postgresql://me:s%40cret@one:1,two:2/db": "postgresql://me@one:1,two:2/db",
    }.items():  # fmt: skip
        assert is_url(url) and without_password(url) == kept_
    assert not is_url("store.sqlite") and not is_url("mysql://me@host/db")


def test_servers_that_are_not_there_are_said(missing):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(SuiteError, match=r"no connection to the store postgresql://me@/db\?") as e:
        Postgres("postgresql://me:secret@/db?host=/nowhere")
    assert "secret" not in str(e.value)
    with pytest.raises(SuiteError, match="not well formed") as e:
        Postgres("postgresql://me:sec%zzret@host:port/db")
    assert "ret" not in str(e.value)
    missing("psycopg")
    with pytest.raises(SuiteError, match=r"psycopg is not installed.*nasdsl\[postgres\]"):
        Postgres("postgresql://me@/db")


def test_a_connection_that_is_lost_is_made_again(database):
    store, other = Store(Postgres(database)), Postgres(database)
    store.add([cell("a")])
    number = store.database.rows("select pg_backend_pid()")[0][0]
    other.rows("select pg_terminate_backend(?)", (number,))
    assert store.claim("w:1:1").cell == cell("a")
    assert store.events() == [(cell("a").digest, "started")]
    store.close()
    other.close()


def test_a_server_that_went_away_is_waited_for_and_then_said(server):
    url = server.database("away")
    store = Store(Postgres(url, patience=0.5))
    store.add([cell("a")])
    server.stop()
    try:
        with pytest.raises(SuiteError, match="the connection to the store .* was lost"):
            store.claim("w:1:1")
        patient = threading.Timer(1.0, server.start)
        patient.start()
        store.database.patience = 60.0
        assert store.claim("w:1:1").cell == cell("a")
        patient.join()
    finally:
        if server.process.poll() is not None:
            server.start()
    store.close()


def test_a_database_where_nothing_may_be_made_is_said(server, database):
    import psycopg

    with psycopg.connect(database, autocommit=True) as db:
        db.execute("create role reader login")
        db.execute("revoke create on schema public from public")  # as it is since version 15
    url = database.replace("nasdsl@", "reader@")
    with pytest.raises(SuiteError, match="permission denied"):
        Postgres(url)
    Postgres(database).db.execute(b"update nasdsl_meta set value = '99' where name = 'schema'")
    with pytest.raises(SuiteError, match="version 99, this reads 2"):
        Postgres(database)
