"""The folder of a suite that a bad disk has changed: said, and the results are what they were."""

import shutil
import sqlite3

import pytest
import tiny
from click.testing import CliRunner
from small_disk import NEEDED, disk, leftovers, size  # noqa: F401

from nasdsl.cli.main import cli
from nasdsl.suite.errors import Damaged, SuiteError
from nasdsl.suite.folder import SuiteFolder

TEXT = tiny.TEXT


def nasdsl(*args, code=0):
    result = CliRunner().invoke(cli, [*map(str, args)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    base = tmp_path_factory.mktemp("suite")
    (base / "tiny.nas").write_text(TEXT)
    nasdsl("-q", "suite", "run", base / "tiny.nas", "--suite", "one", "-o", base / "out",
           "--inline", "--threads", 1)  # fmt: skip
    return base / "out"


@pytest.fixture
def copy(done, tmp_path):
    return shutil.copytree(done, tmp_path / "out")


def results(folder):
    store = SuiteFolder(folder).open()
    try:
        return {s.cell.digest: (s.state, s.result) for s in store.all()}
    finally:
        store.close()


def again(folder):
    return nasdsl("-q", "suite", "run", folder, "--inline", "--threads", 1)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


def own_files(folder):
    """The files of the suite itself, and not those of its cells."""
    found = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return sorted(n for n in found if n.parts[0] not in ("cells", "logs", "locks"))


def test_a_flipped_byte_in_each_file_of_a_suite_is_said_and_mended(done, copy):
    names = own_files(done)
    assert [str(n) for n in names] == [
        "copies/sources.json", "copies/suite.json", "digests.json", "sources.json", "store.sqlite",
        "suite.json",
    ]  # fmt: skip
    wanted = results(done)
    for name in names:
        if name.name == "store.sqlite":
            continue  # below, at many places
        flip(copy / name, (copy / name).stat().st_size // 2)
        said = again(copy)
        if name.name != "digests.json":  # a digest that changed may be one that is not read
            assert ("damaged" in said) == (name.parts[0] != "copies"), name
        assert results(copy) == wanted
        assert (copy / name).read_bytes() == (
            done / name
        ).read_bytes() or name.name == "digests.json"
        assert "damaged" not in again(copy)
        shutil.copy(done / "digests.json", copy / "digests.json")


def test_a_flipped_byte_anywhere_in_a_store_changes_no_result(done, copy):
    """What matters is found and made again; what does not (free space, history) may pass."""
    wanted, size = results(done), (done / "store.sqlite").stat().st_size
    found = 0
    for at in range(0, size, max(1, size // 150)):
        shutil.copy(done / "store.sqlite", copy / "store.sqlite")
        flip(copy / "store.sqlite", at)
        try:
            assert results(copy) == wanted, at
        except Damaged as error:
            found += 1
            assert f"nasdsl suite run {copy} makes it again" in str(error)
            if found % 4 == 1:
                assert "nasdsl suite run" in nasdsl("suite", "status", copy, code=1)
                assert "made again from the results" in again(copy)
                assert results(copy) == wanted
    assert found > 5


@pytest.mark.parametrize("tenth", range(10))
def test_a_store_that_was_cut_is_made_again(tenth, done, copy):
    path = copy / "store.sqlite"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * tenth // 10])
    assert "made again from the results" in again(copy)
    assert results(copy) == results(done)
    assert [p.name for p in copy.glob("store*")] == ["store.sqlite"]


def test_a_store_that_is_gone_is_made_again(done, copy):
    (copy / "store.sqlite").unlink()
    assert "has no store.sqlite" in nasdsl("suite", "report", copy, code=1)
    again(copy)
    assert results(copy) == results(done)


def test_results_that_are_damaged_too_are_made_again(done, copy):
    (copy / "store.sqlite").unlink()
    for path in copy.glob("cells/*/outcome.json"):
        flip(path, path.stat().st_size // 2)
    assert "outcome.json is damaged; it is made again" in again(copy)
    assert results(copy) == results(done)


def test_a_row_that_somebody_changed_is_damage(copy):
    with sqlite3.connect(copy / "store.sqlite") as db:
        db.execute("update nasdsl_cells set result = replace(result, '1', '2')")
    db.close()
    with pytest.raises(Damaged, match="a cell is not what was written"):
        SuiteFolder(copy).open()


def test_a_store_of_the_first_version_is_sealed(done, copy):
    with sqlite3.connect(copy / "store.sqlite") as db:
        db.execute("drop index nasdsl_cells_open")
        db.execute("drop index nasdsl_events_suite")
        for name in ("seals", "suites"):
            db.execute(f"drop table nasdsl_{name}")
        db.execute("create table cells as select digest, place, kind, optimizer, benchmark, setting, "
                   "seed, cell, state, attempts, worker, beat, seconds, result, error "
                   "from nasdsl_cells")  # fmt: skip
        db.execute("drop table nasdsl_cells")
        for name, columns in (("needs", "digest, needed"), ("events", "number, digest, what")):
            db.execute(f"create table {name} as select {columns} from nasdsl_{name}")
            db.execute(f"drop table nasdsl_{name}")
        db.execute("alter table nasdsl_meta rename to meta")
        db.execute("pragma user_version = 1")
    db.close()
    assert results(copy) == results(done)


def test_a_full_disk_is_said_and_nothing_is_half_done(copy):
    store = SuiteFolder(copy).open()
    before = results(copy)
    db = store.database.db
    pages = db.execute("pragma page_count").fetchone()[0]
    db.execute(f"pragma max_page_count = {pages}")
    some = store.all()[0]
    with pytest.raises(SuiteError, match="the disk is full.*run the same command again"):
        store.recall(some.cell.digest, {"x": "y" * 10**6})
    store.close()
    assert results(copy) == before


@pytest.mark.parametrize("kept", [["copies"], ["copies", "digests.json", "sources.json"]])
def test_a_suite_killed_as_it_began_goes_on(kept, done, tmp_path):
    spec, out = tmp_path / "tiny.nas", tmp_path / "out"
    spec.write_text(TEXT)
    out.mkdir()
    for name in kept:
        (shutil.copytree if (done / name).is_dir() else shutil.copy)(done / name, out / name)
    nasdsl("-q", "suite", "run", spec, "--suite", "one", "-o", out, "--inline", "--threads", 1)
    assert own_files(out) == own_files(done)
    assert results(out) == results(done)


@pytest.mark.slow
@NEEDED[1]
def test_a_suite_on_a_disk_that_fills_up_at_any_time_goes_on(disk, tmp_path):  # noqa: F811
    spec = tmp_path / "tiny.nas"
    spec.write_text(TEXT)
    command = ("suite", "run", spec, "--suite", "one", "--inline", "--threads", 1, "-o")
    nasdsl(*command, tmp_path / "whole")
    needed, full = size(tmp_path / "whole"), 0
    for share in range(0, 100, 12):
        target = disk.place / "out"
        disk.leave(needed * share // 100)
        done = CliRunner().invoke(cli, [*map(str, (*command, target))])
        full += done.exit_code == 1
        assert done.exit_code == 0 or "the disk is full" in done.output, done.output
        disk.empty()
        nasdsl(*command, target, "--again")
        assert results(target) == results(tmp_path / "whole")
        assert leftovers(target) == []
        shutil.rmtree(target)
    assert full >= 6
