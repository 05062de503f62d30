"""A suite on a server: several machines, no machine's folder, and what other people may read."""

from __future__ import annotations

import json

import pytest
import tiny
from click.testing import CliRunner

from nasdsl.cli.main import cli
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.folder import SuiteFolder
from nasdsl.suite.postgres import Postgres


def nasdsl(*args, code=0):
    result = CliRunner().invoke(cli, [*map(str, args)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "tiny.nas"
    path.write_text(tiny.TEXT)
    return path


def test_a_suite_on_a_server_is_reported_without_a_folder(spec, database, tmp_path):
    url = database.replace("nasdsl@", "nasdsl:secret@")
    nasdsl("-q", "suite", "run", spec, "--suite", "one", "-o", tmp_path / "a", "--inline", "--store", url)  # fmt: skip
    assert not (tmp_path / "a/store.sqlite").exists()
    texts = [f.read_text() for f in (tmp_path / "a").rglob("*.json")]
    assert not any("secret" in t for t in texts)
    # The folder knows its server; others need its URL.
    by_folder = nasdsl("suite", "status", tmp_path / "a").output
    by_url = nasdsl("suite", "status", "--store", database).output
    assert "suite one: 2 of 2 cells done" in by_url and by_folder == by_url
    table = tmp_path / "t.csv"
    report = nasdsl("suite", "report", "--store", database, "--suite", "one", "--table", table)
    assert report.output == nasdsl("suite", "report", tmp_path / "a").output
    assert "1 values of test.error" in report.output
    assert len(table.read_text().splitlines()) == 2
    # A second machine has nothing to do; a folder of another suite is not taken for this one.
    out = nasdsl("suite", "run", "--store", database, "--suite", "one", "-o", tmp_path / "b")
    assert "suite " in out.output and not (tmp_path / "b/cells").exists()
    nasdsl("suite", "run", spec, "--suite", "one", "-o", tmp_path / "b", "--store", database)
    other = nasdsl("suite", "run", spec, "--suite", "every", "-o", tmp_path / "b", "--store", database, code=1)  # fmt: skip
    assert "holds another suite" in other.output
    kept_ = nasdsl("report", tmp_path / "a", "-o", tmp_path / "r.html")
    assert "wrote" in kept_.output and "test.error" in (tmp_path / "r.html").read_text()
    nasdsl("report", "--store", database, "--suite", "one", "-o", tmp_path / "s.html")
    page = (tmp_path / "s.html").read_text()
    assert "1 of test.error" in page and "The store holds every source" in page
    for given, code, said in (
        (["--store", database, "--measure", "test.los"], 1, "did you mean `test.loss`"),
        (["--store", database, "--suite", "none"], 1, "none"),
        (["--store", database, "--column", "value=x"], 2, "--column is for a table"),
        ([], 2, "which suite?"),
    ):
        wrong = nasdsl("report", *given, "-o", tmp_path / "t.html", code=code)
        assert said in wrong.output, wrong.output
    assert not (tmp_path / "t.html").exists()


def test_several_suites_are_listed(spec, database, tmp_path):
    from nasdsl import driver
    from nasdsl.suite import declaration, folder, planning

    assert "no suite yet" in nasdsl("suite", "status", "--store", database).output
    loaded = driver.load(spec)
    for name in ("one", "pair"):
        made = planning.plan(loaded, declaration.declared(loaded, name))
        folder.create(tmp_path / name, loaded, made, database)
    lines = nasdsl("suite", "status", "--store", database).output.splitlines()
    assert [line.split()[0] for line in lines if "0" in line] == ["one", "pair"]
    found = json.loads(nasdsl("suite", "status", "--store", database, "--format", "json").output)
    assert [(s["name"], s["cells"]) for s in found["suites"]] == [("one", 2), ("pair", 8)]
    assert "--suite, by name" in nasdsl("suite", "report", "--store", database, code=1).output
    digest = found["suites"][1]["suite"]
    status = nasdsl("suite", "status", "--store", database, "--suite", digest[:6])
    assert "suite pair: 0 of 8" in status.output
    # Its results stay where they are.
    wrong = nasdsl("suite", "run", spec, "--suite", "one", "-o", tmp_path / "one", "--inline",
                   "--store", server_of(database, "elsewhere"), code=1)  # fmt: skip
    assert "no connection to the store" in wrong.output


def test_a_server_that_does_not_answer_leaves_nothing(spec, tmp_path):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    wrong = nasdsl("suite", "run", spec, "--suite", "one", "-o", tmp_path / "new", "--inline",
                   "--store", "postgresql://me@127.0.0.1:1/x", code=1)  # fmt: skip
    assert "no connection to the store" in wrong.output
    assert not (tmp_path / "new").exists()


def server_of(url, name):
    return url.partition("?")[0] + f"?host=/{name}"


def test_plugins_of_others_are_not_run_unseen(spec, database, tmp_path):
    from nasdsl import driver
    from nasdsl.suite import declaration, folder, planning

    loaded = driver.load(spec)
    made = planning.plan(loaded, declaration.declared(loaded, "one"))
    folder.create(tmp_path / "a", loaded, made, database)
    db = Postgres(database)
    plugins = [{"name": "evil.py", "text": "raise SystemExit('run')", "digest": "0"}]
    sources = json.loads(db.rows("select sources from nasdsl_suites")[0][0]) | {"plugins": plugins}
    db.run("update nasdsl_suites set sources = ?", (json.dumps(sources),))
    db.close()
    refused = nasdsl("suite", "run", "--store", database, "-o", tmp_path / "b", code=1)
    assert "has plugins (evil.py), which are code" in refused.output
    assert not (tmp_path / "b").exists()


def test_names_of_others_stay_in_the_folder(tmp_path):
    held = SuiteFolder(tmp_path)
    for digest in ("../x", "/etc/x", "a/b", "", ".", "a.b"):
        for path in (held.cell, held.log):
            with pytest.raises(SuiteError, match="is no digest of a cell"):
                path(digest)
    assert held.cell("0a1f").parent == tmp_path / "cells"


def test_what_does_not_fit_is_said(spec, tmp_path, missing):
    out = tmp_path / "out"
    assert (
        "the URL of a PostgreSQL database"
        in nasdsl("suite", "status", "--store", "mysql://me@host/db", code=2).output
    )
    assert "which suite?" in nasdsl("suite", "status", code=2).output
    assert "SOURCE is missing" in nasdsl("suite", "run", code=2).output
    nasdsl("-q", "suite", "run", spec, "--suite", "one", "-o", out, "--inline", "--retries", 0)
    url = "postgresql://me@/db?host=/nowhere"
    assert (
        "keeps its results in store.sqlite"
        in nasdsl("suite", "run", out, "--store", url, code=1).output
    )
    assert "a folder has one suite" in nasdsl("suite", "status", out, "--suite", "x", code=2).output
    missing("psycopg")
    assert "nasdsl[postgres]" in nasdsl("suite", "status", "--store", url, code=3).output
    assert SuiteFolder(out).about().get("store") is None
