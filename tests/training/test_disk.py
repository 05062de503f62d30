"""Writing a file in one step: what is there, what is left, what is said."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from nasdsl import disk
from nasdsl.cli.main import cli

FULL = Path("/dev/full")
UGLY = "nas 1\nspace a {\nwidth=4\ninput image(1,8,8)\nstem conv(3)\nhead global_avg_pool>>linear(2)\n}\n"


def test_a_link_stays_a_link_and_a_file_keeps_its_mode(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o640)
    (tmp_path / "link").symlink_to("a")
    disk.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "link"]


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(disk.DiskError, match="Is a directory"):
        disk.write(tmp_path, b"x")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_device_is_written_to_and_never_replaced():
    with pytest.raises(disk.DiskError, match="the disk is full"):
        disk.write(FULL, b"x" * 10)
    assert FULL.is_char_device() and not FULL.with_name("full.new").exists()
    disk.write(Path("/dev/null"), b"x")
    assert Path("/dev/null").is_char_device()


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_standard_output_that_is_full_is_said():
    for given in (["explain"], ["fmt", "-"], ["inspect", "published"]):
        with FULL.open("wb") as out:
            done = subprocess.run(
                [sys.executable, "-m", "nasdsl", *given],
                input=UGLY.encode(), stdout=out, stderr=subprocess.PIPE,
            )  # fmt: skip
        said = done.stderr.decode()
        assert done.returncode == 1 and "No space left on device" in said, (given, said)
        assert "Traceback" not in said and len(said.splitlines()) == 1


def test_a_file_that_may_not_grow_is_said_and_left_as_it_was(tmp_path):
    """RLIMIT_FSIZE, as a quota would have it."""
    path = tmp_path / "a"
    path.write_text("old")
    code = f"""
import resource
from pathlib import Path
from nasdsl import disk
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    disk.write(Path({str(path)!r}), b"x" * 10_000)
except disk.DiskError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "cannot be written (File too large)" in done.stdout, done.stderr
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096


def test_killed_writes_are_tidied_up(tmp_path):
    for name in ("a", "a.new", "b.new"):
        (tmp_path / name).touch()
    (tmp_path / "c.new").mkdir()
    disk.tidy(tmp_path)
    disk.tidy(tmp_path / "nowhere")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "c.new"]


def test_commands_write_their_file_and_nothing_beside_it(tmp_path):
    """`fmt`, `export` and `report` once left a `digests.json` beside what they wrote."""
    (tmp_path / "a.nas").write_text(UGLY)
    (tmp_path / "t.csv").write_text("optimizer,benchmark,seed,value\na,x,0,1\nb,x,0,2\n")
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"
    for given in (
        ["fmt", tmp_path / "a.nas"],
        ["export", cell, "--space", "nasbench201", "-o", tmp_path / "g.txt"],
        ["report", tmp_path / "t.csv", "-o", tmp_path / "t.html"],
        ["suite", "report", tmp_path / "t.csv", "--csv", tmp_path / "u.csv"],
    ):
        result = CliRunner().invoke(cli, [*map(str, given)])
        assert result.exit_code == 0, result.output
    found = sorted(p.name for p in tmp_path.iterdir())
    assert found == ["a.nas", "g.txt", "t.csv", "t.html", "u.csv"]
