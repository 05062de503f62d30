"""Floors and loads: contracts hold, the front end never loads torch, the package is whole."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from nasdsl import resources

ROOT = Path(__file__).parent.parent


def test_import_contracts_hold():
    result = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "command", [["check", "darts"], ["--help"], ["fmt", "--check", "spaces/darts.nas"],
                ["inspect", "nasbench201"], ["explain", "E207"]]
)  # fmt: skip
def test_text_commands_load_neither_torch_nor_numpy(command):
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "nasdsl", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert not {name for name in loaded if name.split(".")[0] in ("torch", "numpy")}


def test_import_does_nothing():
    code = "import sys, nasdsl; assert not {'torch', 'numpy', 'lark', 'click'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    result = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return out


def test_wheel_and_sdist_ship_grammars_spaces_and_data(built):
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"nasdsl/spaces/{n}" for n in resources.listing("spaces", ".nas")}
    wanted |= {"nasdsl/grammars/nas.lark", "nasdsl/data/fashion16.npz", "nasdsl/py.typed",
               "nasdsl/data/fashion16.LICENSE"}  # fmt: skip
    assert wanted <= inside
    with tarfile.open(sdist) as archive:
        packed = {n.partition("/")[2] for n in archive.getnames()}
    assert {"grammars/nas.lark", "spaces/darts.nas", "tests/test_readme.py", "LICENSE"} <= packed


def test_the_wheel_runs_from_an_empty_folder(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    code = (
        f"import sys; sys.path.insert(0, {str(wheel)!r})\n"
        "import nasdsl\n"
        f"assert nasdsl.__file__.startswith({str(wheel)!r}), nasdsl.__file__\n"
        "print(nasdsl.load('darts').program.names('space'))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "darts_imagenet" in result.stdout
