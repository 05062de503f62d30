"""Stores: what is claimed by whom, what is written once, and who is gone; in both databases."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from nasdsl.suite import kept
from nasdsl.suite.cell import Cell, digest_of
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.outcome import standing
from nasdsl.suite.postgres import Postgres, is_url, without_password
from nasdsl.suite.sqlite import Sqlite
from nasdsl.suite.store import Store
from nasdsl.suite.worker import LEASE, worker_name


def cell(name, *needs):
    names = {"optimizer": "o", "benchmark": name, "setting": "", "seed": "0"}
    return Cell(digest=digest_of({"n": name}), kind="search", names=names, order={}, needs=needs)


@pytest.fixture
def store(connect):
    made = connect()
    first = cell("a")
    made.add([first, cell("b", first.digest), cell("c")])
    return made


def older(store, seconds):
    """Let all signs of life be older."""
    store.database.change(lambda s: s.run("update nasdsl_cells set beat = beat - ?", (seconds,)))


def test_cells_are_claimed_in_order_once_their_needs_are_done(store):
    me = worker_name()
    a, c = store.claim(me), store.claim(me)
    assert (a.cell.names["benchmark"], c.cell.names["benchmark"]) == ("a", "c")
    assert store.claim(me) is None and not store.idle()
    assert store.finish(a.cell.digest, me, {"x": 1.5}, 2.0)
    b = store.claim(me)
    assert b.cell.names["benchmark"] == "b"
    assert store.get(a.cell.digest).result == {"x": 1.5}
    assert store.task(b).before == {a.cell.digest: {"x": 1.5}}
    assert store.counts() == (1, 3)


def test_cells_are_added_once(store, connect):
    first = cell("a")
    assert connect().add([first, cell("d", first.digest)]) == 1
    assert [s.cell for s in store.all() if s.cell == first] == [first]


def test_a_result_is_written_once_and_by_its_owner(store):
    a = store.claim("host:1:1").cell.digest
    assert not store.finish(a, "host:2:2", {}, 0)
    assert store.finish(a, "host:1:1", {"x": 1}, 0)
    assert not store.finish(a, "host:1:1", {"x": 2}, 0)
    assert store.get(a).result == {"x": 1}
    assert Counter(store.events()) == {(a, "started"): 1, (a, "done"): 1}


def test_values_come_back_to_the_last_bit(store):
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0]
    a = store.claim("host:1:1").cell.digest
    store.finish(a, "host:1:1", {"x": values}, 1 / 3)
    assert repr(store.get(a).result["x"]) == repr(values)
    assert store.get(a).seconds == 1 / 3


def test_cells_of_dead_workers_are_claimed_again(store):
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    host = worker_name().split(":")[0]
    a = store.claim(f"{host}:{process.pid}:1").cell.digest
    mine = store.claim(worker_name())
    assert mine.cell.digest == a and mine.attempts == 2
    assert (a, "lost") in store.events()
    # A process that lives keeps what it has, and so does a silent machine for a while.
    assert store.claim("elsewhere:1:1").cell.names["benchmark"] == "c"
    assert store.claim(worker_name()) is None


def test_a_silent_machine_loses_its_cells_and_may_not_finish_them(store):
    far = "elsewhere:1:1"
    a = store.claim(far).cell.digest
    older(store, LEASE - 5)
    assert store.claim("another:1:1").cell.names["benchmark"] == "c"
    store.beat(far, [a])
    older(store, LEASE - 5)
    assert store.claim("another:1:1") is None  # it was heard in between
    older(store, 10)
    assert store.claim("third:1:1").cell.digest == a
    assert not store.finish(a, far, {"x": 1}, 0)
    assert not store.fail(a, far, "late", retries=0)
    assert store.finish(a, "third:1:1", {"x": 2}, 0)
    assert Counter(what for d, what in store.events() if d == a) == {
        "started": 2, "lost": 1, "done": 1,
    }  # fmt: skip


def test_only_what_is_worked_at_is_kept_alive(store):
    """A claim whose answer was lost on the way is not kept for ever."""
    far = "elsewhere:1:1"
    a, c = store.claim(far).cell.digest, store.claim(far).cell.digest
    older(store, LEASE + 5)
    store.beat(far, [c])
    assert store.claim("another:1:1").cell.digest == a
    assert store.claim("another:1:1") is None


def test_processes_of_other_machines_are_not_looked_up_here(store):
    """A container may have this host name; its numbers of processes mean something else."""
    host, rest = worker_name().split(":", 1)[0].rpartition("/")[0], f":{2**22 + 1}:1"
    store.claim(f"{host}/00000000{rest}")
    assert store.claim(worker_name()).cell.names["benchmark"] == "c"


def test_failures_are_tried_again_and_then_stand(store):
    me = worker_name()
    for attempt in (1, 2):
        found = store.claim(me)
        assert (found.cell.names["benchmark"], found.attempts) == ("a", attempt)
        store.fail(found.cell.digest, me, "no luck", retries=1)
    assert store.claim(me).cell.names["benchmark"] == "c"
    now = standing(store.all())
    assert [f.error for f in now.failed] == ["no luck"] and now.held == 1
    assert store.again() == 1
    assert store.claim(me).attempts == 1


def test_a_claim_that_is_given_back_is_no_attempt(store):
    me = worker_name()
    a = store.claim(me).cell.digest
    assert store.release(a, me, 1.0)
    again = store.claim(me)
    assert (again.cell.digest, again.attempts, again.seconds) == (a, 1, 1.0)


def test_many_workers_claim_each_cell_once(connect):
    """More workers than cells at a time, all at once: each cell is done once, in its order."""
    first = [cell(f"a{i}") for i in range(12)]
    after = [cell(f"b{i}", *(c.digest for c in first[:6])) for i in range(12)]
    connect().add([*first, *after])
    gate = threading.Barrier(8)
    claimed, wrong = [], []

    def work(number, shared):
        me, store = f"host{number}:1:1", shared.another()  # SQLite's connections stay in a thread
        gate.wait()
        while True:
            found = store.claim(me)
            if found is None:
                if store.idle():
                    return store.close()
                continue
            if set(found.cell.needs) - {d for d, what in store.events() if what == "done"}:
                wrong.append(found)
            claimed.append(found.cell.digest)
            assert store.finish(found.cell.digest, me, {"by": me}, 0.0)

    threads = [threading.Thread(target=work, args=(n, connect())) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert Counter(claimed) == {c.digest: 1 for c in (*first, *after)}
    assert not wrong
    events = connect().events()
    assert Counter(what for _, what in events) == {"started": 24, "done": 24}


def test_suites_in_one_database_are_apart(connect):
    one, two = connect("one"), connect("two")
    a, b = cell("a"), cell("b", cell("a").digest)
    one.add([a, b])
    two.add([a, b])
    assert one.claim("w:1:1").cell == a
    assert two.claim("w:1:1").cell == a
    one.finish(a.digest, "w:1:1", {"x": 1}, 0)
    assert two.get(a.digest).result is None and two.claim("w:1:1") is None
    one.claim("w:1:1")
    two.fail(a.digest, "w:1:1", "no luck", retries=0)
    assert one.again() == 0 and two.again() == 1
    assert [w for _, w in one.events()] == ["started", "done", "started"]
    assert two.idle() is False and connect("none").idle()


def test_suites_are_found_by_name_and_digest(connect):
    with pytest.raises(SuiteError, match="holds no suite yet"):
        kept.find(connect().database, None)
    abouts = [{"suite": "duel", "n": 1}, {"suite": "duel", "n": 2}, {"suite": "solo", "n": 1}]
    digests = [kept.suite_digest(about, [cell("a")]) for about in abouts]
    assert len(set(digests)) == 3
    assert digests[0] == kept.suite_digest({**abouts[0], "file": "x.nas"}, [cell("a")])
    for about, digest in zip(abouts, digests, strict=True):
        for _ in "again":
            kept.keep(connect(digest), about, {"schema": 1}, [cell("a")])
    database = connect().database
    assert [k.suite for k in kept.listed(database)] == digests
    assert kept.find(database, "solo").suite == digests[2]
    assert kept.find(database, digests[1][:8]).name == "duel"
    assert kept.texts(database, digests[1]) == (abouts[1], {"schema": 1})
    with pytest.raises(SuiteError, match=f"--suite.*\n.*{digests[0]}.*\n.*{digests[1]}"):
        kept.find(database, "duel")
    with pytest.raises(SuiteError, match="no suite `trio`"):
        kept.find(database, "trio")
    with pytest.raises(SuiteError, match="no suite `0000`"):
        kept.texts(database, "0000")


# ---- files


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "x").write_text("not a data base, " * 100)
    with pytest.raises(SuiteError, match="no store"):
        Sqlite(tmp_path / "x")
    Sqlite(tmp_path / "y").db.execute("pragma user_version = 99")
    with pytest.raises(SuiteError, match="version 99, this reads 2"):
        Sqlite(tmp_path / "y")


def test_stores_of_version_1_go_on(tmp_path):
    """Tables as they were before a database could hold several suites."""
    db = sqlite3.connect(tmp_path / "old.sqlite")
    db.executescript(
        "create table meta (name text primary key, value text not null);"
        "create table cells (digest text primary key, place integer not null, kind text not null,"
        " optimizer text not null, benchmark text not null, setting text not null,"
        " seed text not null, cell text not null, state text not null default 'pending',"
        " attempts integer not null default 0, worker text, beat real, seconds real, result text,"
        " error text);"
        "create table needs (digest text not null, needed text not null,"
        " primary key (digest, needed));"
        "create table events (number integer primary key, digest text not null,"
        " what text not null, worker text, at real);"
        "insert into cells values ('d1', 0, 'search', 'o', 'b', '', '0', "
        """'{"digest": "d1", "kind": "search", "names": {"optimizer": "o", "benchmark": "b"},"""
        """ "order": {}, "needs": [], "estimate": {}}', 'done', 1, null, 1.0, 2.0,"""
        """ '{"x": 1.5}', null);"""
        "insert into events values (1, 'd1', 'started', 'w', 1.0), (2, 'd1', 'done', 'w', 3.0);"
        "pragma user_version = 1;"
    )
    db.close()
    store = Store(Sqlite(tmp_path / "old.sqlite"))
    assert store.get("d1").result == {"x": 1.5}
    assert store.events() == [("d1", "started"), ("d1", "done")]
    assert store.add([cell("b", "d1")]) == 1
    assert store.claim("w:1:1").cell.names["benchmark"] == "b"
    assert Store(Sqlite(tmp_path / "old.sqlite")).counts() == (1, 2)


def test_a_worker_names_its_process():
    host, pid, began = worker_name().rsplit(":", 2)
    assert int(pid) == os.getpid() and host
    assert Path("/proc").is_dir() == bool(began)


# ---- servers


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
