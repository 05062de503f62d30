"""README is true: its files check, its commands run and print what it says, its Python runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from nasdsl.cli.main import cli

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\S[^\n]*)\n(.*?)^```", TEXT, re.S | re.M)


def blocks(kind):
    return [body for found, body in BLOCKS if found == kind]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files that README shows, under the names it gives them."""
    names = re.findall(r"`(\w+\.nas)`[^`]*?```nas", TEXT, re.S)
    texts = [body for kind, body in BLOCKS if kind in ("nas", "nas error")]
    for name, text in zip(names, texts, strict=True):
        (tmp_path / name).write_text(text)
    plugins = re.findall(r"`(\w+\.py)`[^`]*(?:`\w+`[^`]*)*```python file", TEXT, re.S)
    for name, text in zip(plugins, blocks("python file"), strict=True):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_are_in_style_and_check_as_said(folder):
    runner = CliRunner()
    for name in ("trio.nas", "typo.nas", "mine.nas"):
        assert runner.invoke(cli, ["fmt", "--check", name]).exit_code == 0, name
    assert runner.invoke(cli, ["check", "trio.nas"]).exit_code == 0
    assert runner.invoke(cli, ["check", "typo.nas"]).exit_code == 1
    assert runner.invoke(cli, ["check", "mine.nas"]).exit_code == 1
    assert runner.invoke(cli, ["check", "mine.nas", "--plugin", "acme.py"]).exit_code == 0


def test_the_plugin_it_shows_is_short():
    (text,) = blocks("python file")
    assert sum(bool(line.strip()) for line in text.splitlines()) < 40


def matches(pattern, text):
    """Whether a text is what README shows; `…` stands for anything."""
    parts = [re.escape(p) for p in pattern.split("…")]
    return re.fullmatch(".*?".join(parts), text, re.S) is not None


def test_commands_print_what_is_shown(folder):
    shown = blocks("console")
    assert shown
    for block in shown:
        for command, expected in re.findall(
            r"^\$ nasdsl ([^\n]*)\n(.*?)(?=^\$|\Z)", block, re.S | re.M
        ):
            result = subprocess.run(
                [sys.executable, "-m", "nasdsl", *command.split()],
                capture_output=True,
                text=True,
                timeout=600,
                env={**os.environ, "COLUMNS": "80"},
            )
            assert matches(expected.strip(), result.stdout.strip()), (
                command,
                result.stdout,
                result.stderr,
            )


def test_python_runs_and_prints(folder):
    for block in blocks("python"):
        result = subprocess.run(
            [sys.executable, "-c", block], capture_output=True, text=True, timeout=300
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines() == ["(2, 10)", "802426", "['E103', 'E101', 'E101']"]


def test_the_commands_of_the_first_screen_are_the_ones_ci_runs():
    ci = (README.parent / ".ci" / "run").read_text()
    first = TEXT[: TEXT.index("A search space is")]
    assert "nasdsl run quickstart" in first
    assert "pytest -q -n 2" in first and "pytest -q -n 2" in ci


def test_every_command_is_in_the_table():
    for name in cli.commands:
        assert f"`nasdsl {name}" in TEXT, name
