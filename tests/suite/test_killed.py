"""Suites whose processes are killed at random: the store is that of one clean run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import tiny

from nasdsl.suite.folder import SuiteFolder

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="who started whom is read from /proc"
)


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "tiny.nas"
    path.write_text(tiny.TEXT)
    return path


def start(spec, out, suite, *more):
    # A pipe for standard input would end with this process; the workers must not read it.
    return subprocess.Popen(
        [sys.executable, "-m", "nasdsl", "-q", "suite", "run", str(spec), "--suite", suite,
         "-o", str(out), *map(str, more)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def children(pid):
    """The processes that a process started and that live."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(n) for n in task.read_text().split()]
    return found


def kill(process, rng):
    """Kill -9 of the suite, of one of its cells, or of everything at once; what was killed."""
    cells = children(process.pid)
    what = rng.choice(("suite", "cell", "all")) if cells else "suite"
    victims = {"suite": [process.pid], "cell": rng.sample(cells, min(1, len(cells)))}
    for pid in victims.get(what, [process.pid, *cells]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return what


def content(out):
    """What the store of a folder says of every cell, and what happened."""
    store = SuiteFolder(out).open()
    try:
        return store.all(), store.events()
    finally:
        store.close()


def killed(spec, out, suite, kills, seed, longest, more=()):
    """Run a suite and kill at random, after `longest` seconds at most; begin again what is dead.

    Every second kill waits until a cell is at work, however slow the machine is. How often what was
    killed.
    """
    rng = random.Random(seed)
    done = Counter()
    process = start(spec, out, suite, "-j", 2, *more)
    try:
        while sum(done.values()) < kills:
            time.sleep(rng.uniform(0.1, 1.0) * longest)
            while sum(done.values()) % 2 and process.poll() is None and not children(process.pid):
                time.sleep(0.02)
            if process.poll() == 0:  # it was faster; how often it was killed is for the test to ask
                break
            done[kill(process, rng)] += 1
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.3)
            if process.poll() is not None:
                process = start(spec, out, suite, "-j", 2, *more)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
    return done


def compare(clean, out):
    """The same digests and values; every cell finished once, no epoch trained twice."""
    (a, _), (b, events) = content(clean), content(out)
    assert {s.state for s in b} == {"done"}
    assert {s.cell.digest: s.result for s in a} == {s.cell.digest: s.result for s in b}
    assert [s.cell for s in a] == [s.cell for s in b]
    done = Counter(d for d, what in events if what == "done")
    assert done == {s.cell.digest: 1 for s in b}
    # Every attempt ended in one way, and none was begun after the cell was done.
    for s in b:
        own = [what for d, what in events if d == s.cell.digest]
        assert own[::2] == ["started"] * (len(own) // 2) and own[-1] == "done"
        assert {"started"}.isdisjoint(own[1::2])
        folder = SuiteFolder(out).cell(s.cell.digest)
        log = folder / ("log.jsonl" if s.cell.kind == "search" else "retrain/log.jsonl")
        epochs = [json.loads(line)["epoch"] for line in log.read_text().splitlines()]
        assert epochs == list(range(1, len(epochs) + 1))
    return events


def clean_run(spec, tmp_path, suite):
    """The folder of a run in one process, and how many seconds it took."""
    clean, began = tmp_path / "clean", time.monotonic()
    assert start(spec, clean, suite, "--inline").wait(600) == 0
    return clean, time.monotonic() - began


def test_killed_and_begun_again(spec, tmp_path):
    clean, seconds = clean_run(spec, tmp_path, "one")
    out, more = tmp_path / "out", ("--retries", 9)
    assert killed(spec, out, "one", 2, seed=1, longest=0.8 * seconds, more=more)
    assert start(spec, out, "one", *more).wait(300) == 0
    compare(clean, out)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_ten_times_at_random_the_end_is_the_same(kind, spec, tmp_path, request):
    """Ten kills of the suite, its cells or all; two workers on one store finish it."""
    where = () if kind == "sqlite" else ("--store", request.getfixturevalue("database"))
    clean, seconds = clean_run(spec, tmp_path, "every")
    out, more = tmp_path / "out", ("--retries", 20, *where)
    done = killed(spec, out, "every", 10, seed=4, longest=0.4 * seconds, more=more)
    assert sum(done.values()) == 10, done
    workers = [start(spec, out, "every", *more) for _ in range(2)]
    assert [w.wait(timeout=600) for w in workers] == [0, 0]
    events = compare(clean, out)
    assert "lost" in {what for _, what in events}


@pytest.mark.slow
def test_two_machines_share_a_server(spec, tmp_path, database):
    """Two workers with a folder each, as on two machines, on one store."""
    clean, _ = clean_run(spec, tmp_path, "every")
    workers = [start(spec, tmp_path / n, "every", "--store", database) for n in "ab"]
    assert [w.wait(timeout=400) for w in workers] == [0, 0]
    (a, _), (b, events) = content(clean), content(tmp_path / "a")
    assert {s.cell.digest: s.result for s in a} == {s.cell.digest: s.result for s in b}
    assert Counter(what for _, what in events) == {"started": len(b), "done": len(b)}
    folders = [{p.name for p in (tmp_path / n / "cells").iterdir()} for n in "ab"]
    assert folders[0] and folders[1] and not folders[0] & folders[1]


@pytest.mark.slow
def test_a_suite_that_is_asked_to_stop_goes_on(spec, tmp_path):
    clean, _ = clean_run(spec, tmp_path, "one")
    out = tmp_path / "out"
    process = start(spec, out, "one")
    while not children(process.pid):
        time.sleep(0.05)
    time.sleep(1)
    process.terminate()
    assert process.wait(60) == 130
    cells, events = content(out)
    assert not [s for s in cells if s.state == "running"]
    assert {what for _, what in events} <= {"started", "released", "done"}
    assert start(spec, out, "one").wait(300) == 0
    compare(clean, out)


@pytest.mark.slow
def test_a_time_limit_ends_a_cell(spec, tmp_path):
    out = tmp_path / "out"
    process = start(spec, out, "every", "--time-limit", "0.5", "--retries", "0")
    assert process.wait(timeout=300) == 1
    cells, _ = content(out)
    assert any(s.error == "time limit of 0.5 s" for s in cells)


def test_a_cell_that_is_killed_is_a_failed_attempt(spec, tmp_path):
    """What is said is that it was killed, not the last line of its log."""
    out = tmp_path / "out"
    process = start(spec, out, "one", "--retries", "0")
    end = time.monotonic() + 60
    while not children(process.pid) and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    assert process.wait(60) == 1
    failed = [s for s in content(out)[0] if s.state == "failed"]
    assert [s.error for s in failed] == ["killed from outside by SIGKILL"]
