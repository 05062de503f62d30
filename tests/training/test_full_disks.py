"""A real disk that fills up (a small tmpfs): a message, nothing half-written, and a way on."""

import shutil

import pytest
from click.testing import CliRunner
from small_disk import NEEDED, disk, leftovers, size  # noqa: F401
from small_trust import TEXT, run, same

from nasdsl.cli.main import cli

pytestmark = NEEDED


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    base = tmp_path_factory.mktemp("whole")
    (base / "tiny.nas").write_text(TEXT)
    run(base / "tiny.nas", "--recipe", "drawn", "-o", base / "run")
    return base


def nasdsl(*given):
    done = CliRunner().invoke(cli, [*map(str, given)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_a_run_on_a_disk_that_fills_up_at_any_time_goes_on(disk, whole):  # noqa: F811
    """From the first file to the last checkpoint of the retraining."""
    needed, full = size(whole / "run"), []
    for share in range(0, 110, 10):
        target = disk.place / "run"
        disk.leave(needed * share // 100)
        command = (whole / "tiny.nas", "--recipe", "drawn", "-o", target)
        done = nasdsl("-q", "run", *command, "--threads", 1)
        assert done.exit_code in (0, 1), done.output
        if done.exit_code:
            assert "the disk is full" in done.output, done.output
            assert done.output.count("error:") == 1
            full.append((target / "result.json").is_file())
        assert leftovers(target) == [], share
        disk.empty()
        run(*command)
        same(whole / "run", target)
        assert leftovers(target) == []
        shutil.rmtree(target)
    assert len(full) >= 8 and {True, False} == set(full)  # in the search and in retraining


@pytest.mark.parametrize("form", ["auto", "nas", "model", "torch", "onnx"])
def test_an_export_that_finds_no_room_leaves_nothing(form, disk, whole):  # noqa: F811
    if form == "onnx":
        pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    target = disk.place / "out"
    command = ("export", whole / "run", "--as", form, "-o", target)
    free = 0 if form in ("auto", "nas") else 8192
    disk.leave(free)
    done = nasdsl(*command)
    assert done.exit_code == 1, done.output
    assert "No space left on device" in done.output, done.output
    assert sorted(p.name for p in disk.place.iterdir()) == ["filler"]
    disk.empty()
    assert nasdsl(*command).exit_code == 0
    assert [p.name for p in disk.place.iterdir()] == ["out"]
