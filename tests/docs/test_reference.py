"""The language reference is true: its examples are checked, its tables cover what there is."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nasdsl import driver
from nasdsl.diagnostics.codes import CODES
from nasdsl.diagnostics.model import CompileError, Diagnostics
from nasdsl.ir.optable import OPS
from nasdsl.ir.requirement import MEASURES
from nasdsl.ir.schema import BLOCKS, FORMS, SLOTS
from nasdsl.lowering.networks import FORMATS
from nasdsl.source import Source
from nasdsl.syntax.formatting.formatter import format_module
from nasdsl.syntax.parser import parse
from nasdsl.syntax.reserved import RESERVED

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "grammars" / "README.md"
CATALOGUE = ROOT / "spaces" / "README.md"
TOOL = ROOT / "tools" / "make_catalogue.py"

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
_INFO = re.compile(r"nas(?: error ([EW]\d{3}))?")


def text():
    return REFERENCE.read_text(encoding="utf-8")


def examples():
    """(line, expected code or None, text) of every fenced `nas` block."""
    written = text()
    found = []
    for match in _FENCE.finditer(written):
        info = match.group(1).strip()
        if info.startswith("nas"):
            kind = _INFO.fullmatch(info)
            assert kind, f"```{info}: `nas` or `nas error CODE` is wanted"
            line = written.count("\n", 0, match.start()) + 1
            found.append((line, kind.group(1), match.group(2)))
    return found


EXAMPLES = examples()


def by_line(example):
    line, code, _ = example
    return f"line-{line}" + (f"-{code}" if code else "")


def code_spans():
    """Everything in backticks, outside fences."""
    return set(re.findall(r"`([^`\n]+)`", _FENCE.sub("", text())))


def tool():
    spec = importlib.util.spec_from_file_location("make_catalogue", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("example", EXAMPLES, ids=by_line)
def test_example_checks(example):
    _, code, source = example
    try:
        found = [d.code for d in driver.load(Source.of("example.nas", source)).warnings]
    except CompileError as error:
        found = [d.code for d in error.diagnostics]
    assert found == ([code] if code else [])


@pytest.mark.parametrize("example", EXAMPLES, ids=by_line)
def test_example_is_in_the_canonical_style(example):
    _, _, source = example
    parsed = parse(Source.of("example.nas", source), Diagnostics())
    assert format_module(parsed.module) == source


def example_of(name):
    """The example that defines a space, checked."""
    (source,) = [s for _, _, s in EXAMPLES if re.search(rf"^space {name}\b", s, re.M)]
    return driver.load(Source.of("example.nas", source))


def test_first_space_has_the_size_that_the_text_says():
    assert driver.space(example_of("tiny"), "tiny").size() == 3 * (3 + 3)
    assert "18\narchitectures" in text()


def test_example_of_a_space_of_ones_own_is_short_and_complete():
    loaded = example_of("trio")
    lines = [s for s in loaded.source.text.splitlines() if s.strip()]
    space = driver.space(loaded, "trio")
    assert len(lines) < 60
    assert str(space.supernet.inp) == "1x28x28"
    assert [s.name for s in space.supernet.stages].count("body_2") == 1
    assert {len(d.labels) for d in space.decisions} == {5}
    assert loaded.program.names("recipe") and loaded.program.names("train")


def test_decisions_have_the_identities_that_the_text_says():
    found = [d.id for d in driver.space(example_of("decisions"), "decisions").decisions]
    assert found[:3] == ["k", "body[1].round[1].1", "body[1].round[2].1"]
    assert len(found) == 5
    groups = driver.space(example_of("groups"), "groups")
    assert len(groups.decisions) == 9
    assert [str(s.out) for s in groups.supernet.stages if s.name.startswith("conv_bn")] == [
        "16x16x16",
        "32x8x8",
        "64x4x4",
    ]


def test_every_operation_is_in_the_reference():
    assert set(OPS) - code_spans() == set()


def test_every_component_slot_and_argument_is_in_the_reference():
    spans = code_spans()
    components = {name for table in SLOTS.values() for name in table}
    arguments = {p.name for table in SLOTS.values() for s in table.values() for p in s.params}
    slots = {*SLOTS, *(slot for block in BLOCKS.values() for slot in block)}
    assert (components | arguments | slots) - spans == set()


def test_formats_measures_schedules_and_keywords_are_in_the_reference():
    spans = code_spans()
    words = {word for span in spans for word in re.findall(r"\w+", span)}
    assert set(FORMATS) - spans == set()
    assert {*MEASURES, *FORMS, *RESERVED} - words == set()


def test_codes_in_the_reference_exist():
    assert set(re.findall(r"\b[EW]\d{3}\b", text())) - set(CODES) == set()


def test_links_lead_somewhere():
    titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", text()), re.M)
    anchors = {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}
    assert set(re.findall(r"\]\(#([^)]*)\)", text())) - anchors == set()


def test_catalogue_and_tables_are_up_to_date():
    done = subprocess.run(
        [sys.executable, str(TOOL), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.slow
def test_check_says_what_is_stale(tmp_path, monkeypatch, capsys):
    made = tool()
    stale = tmp_path / "README.md"
    stale.write_text("old\n", encoding="utf-8")
    monkeypatch.setattr(made, "ROOT", tmp_path)
    monkeypatch.setattr(made, "CATALOGUE", stale)
    assert made.main(["--check"]) == 1
    assert "README.md is not up to date" in capsys.readouterr().out
    assert stale.read_text(encoding="utf-8") == "old\n"


def test_every_bundled_definition_is_in_the_catalogue():
    """Under its kind and its file."""
    titles = {
        "space": "Spaces",
        "recipe": "Recipes",
        "dataset": "Data sets",
        "split": "Splits",
        "train": "Training settings",
        "suite": "Suites",
    }
    parts = CATALOGUE.read_text(encoding="utf-8").split("\n## ")
    for kind, title in titles.items():
        (found,) = [p for p in parts if p.startswith(f"{title}\n")]
        for name, file in driver.index(kind).items():
            (own,) = [p for p in found.split("\n### ") if f"`{file}`\n" in p]
            assert re.search(rf"^- `{name}`: ", own, re.M), (kind, name)
            assert kind != "space" or re.search(rf"^\| `{name}` +\|", own, re.M), name


def test_lines_of_the_catalogue_are_short():
    long = [s for s in CATALOGUE.read_text(encoding="utf-8").splitlines() if len(s) > 100]
    assert not long


@pytest.mark.parametrize("path", [REFERENCE, CATALOGUE], ids=["reference", "catalogue"])
def test_tables_line_up_in_the_source(path):
    """Every table has rows of one length, so it can be read without being rendered."""
    lengths = []
    for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("|"):
            lengths.append(len(line))
        elif lengths:
            assert len(set(lengths)) == 1, line
            lengths = []
