"""State on disk: damage of every kind is found, said, and what is whole is used."""

import json
import os
import random
import shutil
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner
from small_trust import TEXT, run, same, start, wait

from nasdsl import disk
from nasdsl.cli.main import cli
from nasdsl.training import checkpoint
from nasdsl.training.checkpoint import CheckpointError
from nasdsl.training.lock import Busy, held


def tensors(value):
    return {"a": {"w": torch.full((64, 4), float(value))}, "b": {"m": torch.arange(5)}}


def two(folder):
    """Two checkpoints, one after the other."""
    checkpoint.write(folder, "epoch-1-step-0", tensors(1), {"epoch": 1})
    checkpoint.write(folder, "epoch-2-step-0", tensors(2), {"epoch": 2}, before="epoch-1-step-0")


def test_two_checkpoints_are_kept_and_the_newest_is_read(tmp_path):
    two(tmp_path)
    checkpoint.write(
        tmp_path, "epoch-10-step-0", tensors(10), {"epoch": 10}, before="epoch-2-step-0"
    )
    found = sorted(p.name for p in tmp_path.iterdir())
    assert found == ["epoch-10-step-0", "epoch-2-step-0", "latest"]
    assert (tmp_path / "latest").read_text() == "epoch-10-step-0"
    read = checkpoint.read(tmp_path)
    assert (read.name, read.values["epoch"], read.damaged) == ("epoch-10-step-0", 10, ())
    assert torch.equal(read.tensors["a"]["w"], tensors(10)["a"]["w"])
    assert torch.equal(read.tensors["b"]["m"], torch.arange(5))


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("tenth", range(10))
def test_a_checkpoint_cut_at_every_tenth_falls_back_and_says_so(file, tenth, tmp_path):
    two(tmp_path)
    path = tmp_path / "epoch-2-step-0" / file
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * tenth // 10])
    read = checkpoint.read(tmp_path)
    assert read.values["epoch"] == 1
    assert len(read.damaged) == 1 and "epoch-2-step-0" in read.damaged[0]


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
def test_any_flipped_bit_of_a_checkpoint_is_found(file, tmp_path):
    two(tmp_path)
    path = tmp_path / "epoch-2-step-0" / file
    data = path.read_bytes()
    draw = random.Random(file)
    for place in {0, len(data) - 1, *(draw.randrange(len(data)) for _ in range(200))}:
        flipped = bytearray(data)
        flipped[place] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        assert checkpoint.read(tmp_path).values["epoch"] == 1
    path.write_bytes(data)
    assert checkpoint.read(tmp_path).values["epoch"] == 2


def test_where_no_checkpoint_is_whole_that_is_an_error(tmp_path):
    two(tmp_path)
    for path in tmp_path.glob("epoch-*/state.json"):
        path.write_bytes(b"{}")
    with pytest.raises(CheckpointError, match="epoch-2-step-0 is damaged.*no older"):
        checkpoint.read(tmp_path)


def test_what_a_killed_process_left_is_taken_away(tmp_path):
    two(tmp_path)
    (tmp_path / "epoch-3-step-0.partial").mkdir()
    (tmp_path / "latest.new").write_text("x")
    assert checkpoint.read(tmp_path).values["epoch"] == 2
    checkpoint.write(tmp_path, "epoch-3-step-0", tensors(3), {"epoch": 3}, before="epoch-2-step-0")
    found = sorted(p.name for p in tmp_path.iterdir())
    assert found == ["epoch-2-step-0", "epoch-3-step-0", "latest"]


# --- whole runs ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped in its third epoch, and the same run to its end."""
    base = tmp_path_factory.mktemp("stopped")
    spec = base / "tiny.nas"
    spec.write_text(TEXT)
    run(spec, "--recipe", "drawn", "-o", base / "whole")
    run(spec, "--recipe", "drawn", "--set", "epochs=3", "-o", base / "half", "--wall-limit", "0",
        code=130)  # fmt: skip
    for _ in range(4):
        run(base / "half", "--resume", "--wall-limit", "0", code=130)
    return base


def files(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def damaged_and_mended(stopped, target, damage, names=None):
    """Damage each file of a run that was stopped: it is said, and the run ends as it should."""
    half = stopped / "half"
    names = names or [p.relative_to(half) for p in files(half)]
    newest = {p.parent / p.read_text() for p in half.rglob("latest")}
    (older,) = {p.parent for p in half.rglob("state.json")} - newest
    for name in names:
        shutil.copytree(half, target)
        damage(target / name)
        result = run(target, "--resume")
        # What nothing needs is not read: `latest` is for people, the older checkpoint and the
        # copies are for when the newer one or the original is damaged.
        unread = name.parts[0] == "copies" or name.name == "latest" or half / name.parent == older
        assert ("damaged" in result.output) != unread, name
        same(stopped / "whole", target)
        assert orphans(target) == [], name
        assert (target / "splits.json").read_bytes() == (half / "splits.json").read_bytes()
        shutil.rmtree(target)


def test_a_flipped_byte_in_each_file_of_a_run_is_said_and_the_run_ends_as_it_should(
    stopped, tmp_path
):
    """Every file of a run that was stopped: afterwards the run is that which was not stopped."""
    assert len(files(stopped / "half")) >= 10
    damaged_and_mended(stopped, tmp_path / "run", flip)


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(10))
def test_each_file_of_a_run_cut_at_every_tenth_is_said_and_the_run_ends_as_it_should(
    tenth, stopped, tmp_path
):
    def cut(path):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * tenth // 10])

    damaged_and_mended(stopped, tmp_path / "run", cut)


def test_a_flipped_byte_in_each_file_of_a_finished_run_is_mended(stopped, tmp_path):
    whole = stopped / "whole"
    for path in files(whole):
        name = path.relative_to(whole)
        if name.parts[0] == "checkpoint" or "checkpoint" in name.parts or name.suffix == ".jsonl":
            continue  # nothing needs them any more
        target = tmp_path / "run"
        shutil.copytree(whole, target)
        flip(target / name)
        result = run(target, "--resume")
        assert "damaged" in result.output or name.parts[0] == "copies", name
        same(whole, target)
        shutil.rmtree(target)


def flip(path, at=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 4
    path.write_bytes(data)


def orphans(folder):
    return [p.name for p in folder.rglob("*") if p.suffix in (".new", ".partial")]


def test_the_same_command_goes_on_and_a_changed_program_is_refused_with_a_difference(tmp_path):
    spec, target = tmp_path / "tiny.nas", tmp_path / "run"
    spec.write_text(TEXT)
    command = (spec, "--recipe", "soft", "-o", target, "--no-retrain")
    run(*command, "--wall-limit", "0", code=130)
    spec.write_text(TEXT.replace("arch.lr = 0.01", "arch.lr = 0.02"))
    before = {p: p.read_bytes() for p in files(target)}
    refused = run(*command, code=1)
    assert "-  arch.lr = 0.01" in refused.output and "+  arch.lr = 0.02" in refused.output
    assert "--accept-changes" in refused.output
    assert before == {p: p.read_bytes() for p in files(target)}
    # A comment changes nothing.
    spec.write_text(TEXT + "\n# the end\n")
    run(*command)
    run(spec, "--recipe", "soft", "-o", tmp_path / "other", "--no-retrain")
    same(tmp_path / "other", target)
    again = run(*command)
    assert "genotype" in again.output


def test_a_changed_program_goes_on_where_that_is_wanted(tmp_path):
    spec, target = tmp_path / "tiny.nas", tmp_path / "run"
    spec.write_text(TEXT)
    command = (spec, "--recipe", "soft", "-o", target, "--no-retrain")
    run(*command, "--wall-limit", "0", code=130)
    spec.write_text(TEXT.replace("arch.lr = 0.01", "arch.lr = 0.02"))
    run(*command, "--accept-changes")
    order = json.loads((target / "run.json").read_text())
    assert "0.02" in order["recipe"]["arch"]
    assert any("0.02" in line for line in order["accepted"][0]["difference"])
    run(spec, "--recipe", "soft", "-o", tmp_path / "new", "--no-retrain")
    left, right = ((p / "alphas.safetensors").read_bytes() for p in (target, tmp_path / "new"))
    assert left != right  # the first step had the old rate


def test_one_process_works_in_a_folder(tmp_path):
    with held(tmp_path):
        with pytest.raises(Busy, match="another process"), held(tmp_path):
            pass
        spec = tmp_path / "tiny.nas"
        spec.write_text(TEXT)
        code, error = wait(start(spec, "--recipe", "soft", "-o", tmp_path))
        assert code == 1 and "another process works in" in error
    with held(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.nas"]


FULL = """
import errno, os, sys
from nasdsl import disk
real, count, last = disk.write, [0], int(sys.argv[1])
def write(path, data):
    count[0] += 1
    if count[0] == last:
        path.with_name(path.name + ".new").write_bytes(data[: len(data) // 2])
        path.with_name(path.name + ".new").unlink()
        raise disk.failed(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    real(path, data)
disk.write = write
from nasdsl.cli.main import main
sys.argv = ["nasdsl", "-q", "run", *sys.argv[2:]]
main()
"""


@pytest.mark.slow
def test_a_full_disk_at_any_write_leaves_a_run_that_goes_on(stopped, tmp_path):
    """The n-th write finds no room; the same command then gives the uninterrupted run."""
    spec = stopped / "tiny.nas"
    for n in range(1, 40, 3):
        target = tmp_path / f"run-{n}"
        command = [str(spec), "--recipe", "drawn", "-o", str(target), "--threads", "1"]
        done = subprocess.run(
            [sys.executable, "-c", FULL, str(n), *command],
            capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert "the disk is full" in done.stderr and "Traceback" not in done.stderr
        assert orphans(target) == []
        run(*command)
        same(stopped / "whole", target)


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    two(tmp_path)

    def full(path, data):
        raise disk.failed(path, OSError(28, "No space left on device"))

    monkeypatch.setattr(disk, "write", full)
    with pytest.raises(disk.DiskError, match="disk is full.*run the same command again"):
        checkpoint.write(tmp_path, "epoch-3-step-0", tensors(3), {"epoch": 3})
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "epoch-1-step-0", "epoch-2-step-0", "latest",
    ]  # fmt: skip
    assert checkpoint.read(tmp_path).values["epoch"] == 2


def test_help_names_the_option():
    assert "--accept-changes" in CliRunner().invoke(cli, ["run", "--help"]).output
