"""Every reader against files made to break it: those that once did, and random ones."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TOOL = HERE.parent.parent / "tools" / "fuzz.py"


def fuzz(*args):
    """The tool in a process of its own, whose memory it bounds."""
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, args)], capture_output=True, text=True
    )


def test_inputs_that_once_failed_are_refused_now():
    done = fuzz("--replay", HERE / "corpus")
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) == len(list((HERE / "corpus").glob("*.bin"))) > 20


def test_a_few_random_inputs_for_every_reader():
    done = fuzz("--inputs", 60, "--seconds", 600, "--seed", 7)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failures" in done.stdout.splitlines()[-1]


def test_a_failure_is_found_and_kept(tmp_path):
    """The tool itself: a reader that cannot take a byte of 255, one that hangs, one that hoards."""
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(TOOL.parent)!r})
import fuzz
def fails(data, place):
    assert b"\\xff" not in data
def hangs(data, place):
    while b"\\xff" in data:
        pass
def hoards(data, place):
    return bytearray(2 * fuzz.MEMORY) if b"\\xff" in data else None
fuzz.SECONDS = 0.1
fuzz.bound_memory()
for read in (fails, hangs, hoards):
    target = fuzz.Target(name=read.__name__, seeds=[b"a" * 40], read=read, change=fuzz.change,
                         refuses=(ValueError,))
    n, failures = fuzz.fuzz(target, inputs=60, seconds=60, seed=0, keep=Path({str(tmp_path)!r}))
    print(n, *(trouble.strip().splitlines()[-1] for _, trouble in failures))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["60", "60", "60"], done.stderr
    for line, word in zip(lines, ("AssertionError", "Hang", "MemoryError"), strict=True):
        assert word in line
    assert {p.name.split("-")[0] for p in tmp_path.glob("*.bin")} == {"fails", "hangs", "hoards"}


@pytest.mark.parametrize("path", ["../other/a.npz", "sub/../../a.npz", "/data/../../etc/a.npz"])
def test_a_path_of_a_nas_file_does_not_climb(path, tmp_path):
    from nasdsl.training.data.arrays import DataError
    from nasdsl.training.data.sources import read

    with pytest.raises(DataError, match=r"may not hold `\.\.`"):
        read("npz", (path,), data_dir=tmp_path)


def test_an_npz_is_believed_as_far_as_its_bytes_go(tmp_path):
    """A header of a hundred bytes that promises 2**60 numbers takes no memory at all."""
    import io
    import zipfile

    import numpy as np

    from nasdsl.training.data.arrays import DataError
    from nasdsl.training.data.sources import read

    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        made, {"descr": "<f8", "fortran_order": False, "shape": (2**57,)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for key in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{key}.npy", made.getvalue())
    with pytest.raises(DataError, match=r"has shape .* but only \d+ bytes"):
        read("npz", ("a.npz",), data_dir=tmp_path)


def test_a_gzip_that_unpacks_to_more_than_its_limit_is_refused(tmp_path):
    import gzip

    from nasdsl.training.data.arrays import DataError
    from nasdsl.training.data.content import content

    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(10**7)))
    assert len(content(tmp_path / "a.gz")) == 10**7
    with pytest.raises(DataError, match="more than the 1000000 bytes"):
        content(tmp_path / "a.gz", limit=10**6)


def test_a_nas_file_has_a_largest_size(tmp_path):
    from click.testing import CliRunner

    from nasdsl.cli.main import cli
    from nasdsl.source import LARGEST

    path = tmp_path / "large.nas"
    path.write_text("nas 1\n" + "# a\n" * (LARGEST // 4))
    result = CliRunner().invoke(cli, ["check", str(path)])
    assert result.exit_code == 1 and "is larger than 4 MiB" in result.output
