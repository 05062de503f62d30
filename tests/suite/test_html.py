"""Reports as HTML: whole, without anything from elsewhere, and readable where a browser is there."""

from __future__ import annotations

import csv
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner

from nasdsl.cli.main import cli
from nasdsl.report.charts.axis import decades, ticks
from nasdsl.report.charts.bars import bars
from nasdsl.report.charts.front import front, on_front
from nasdsl.report.charts.lines import lines
from nasdsl.report.charts.ranking import ranking
from nasdsl.report.charts.spread import spread
from nasdsl.report.html import page
from nasdsl.report.html.parts import Figure, Key, Page, Section, Table
from nasdsl.report.html.plots import slug, write_plots
from nasdsl.report.html.suite_page import results_page
from nasdsl.suite import table

FILE = Path(__file__).parent / "data" / "darts_bench_suite.csv"
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Tree(HTMLParser):
    """Checks that tags close as they open; collects what would be fetched or run."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.tags, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action") or name.startswith("on"):
                self.fetched.append((tag, name, value))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)


def read(text):
    tree = Tree()
    tree.feed(text)
    assert tree.open == []
    assert tree.fetched == []
    assert not {"script", "link", "img", "iframe"} & set(tree.tags)
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    identities = re.findall(r'\bid="([^"]+)"', text)
    assert len(identities) == len(set(identities))
    for used in re.findall(r"url\(#([^)]+)\)", text):
        assert used in identities
    return tree


@pytest.fixture(scope="module")
def published():
    return results_page(table.read(FILE), FILE, summary="mean", alpha=0.05).html


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    home = tmp_path_factory.mktemp("suite")
    (home / "tiny.nas").write_text(tiny.TEXT)
    made = CliRunner().invoke(
        cli,
        ["-q", "suite", "run", str(home / "tiny.nas"), "--suite", "every", "-o", str(home / "out"),
         "--inline"],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    return home


def write(source, out):
    made = CliRunner().invoke(cli, ["report", str(source), "-o", str(out)])
    assert made.exit_code == 0, made.output
    return out.read_text()


def test_published_results_are_drawn(published):
    tree = read(published)
    text = " ".join("".join(tree.text).split())
    for said in (
        "χ²(6) = 17.05, p .0091",
        "0.316",
        "CD 3.00",
        "drnas 2.67",
        "5.78 sdarts",
        "-0.71 to -0.33",
        "38.6 %",
        "one seed per cell",
        "not significant",
    ):
        assert said in text, said
    assert str(FILE.parent.parent) not in published.split("How to repeat it")[0]


def test_a_suite_is_drawn(done):
    text = write(done / "out", done / "s.html")
    tree = read(text)
    said = "".join(tree.text)
    for part in (
        "soft on tiny", "Discretization gap", "Shares of operations over time on tiny",
        "soft: normal", "multiply-adds", "parameters", "seconds of search", "Each of the 8 runs",
        "devices", "cpu",
    ):  # fmt: skip
        assert part in said, part
    assert text.count('class="paper"') == 4  # two optimizers, two cells each
    assert "one seed per cell" not in text
    assert len(text) < 300_000
    # What the report is written beside is left alone.
    assert sorted(p.name for p in done.iterdir() if p.is_file()) == ["s.html", "tiny.nas"]
    again = CliRunner().invoke(cli, ["report", str(done / "out"), "-o", str(done / "s.html")])
    assert again.exit_code == 2 and "--force" in again.output


def test_a_run_is_drawn(done):
    run = next(p for p in sorted((done / "out" / "cells").iterdir()) if (p / "log.jsonl").is_file())
    tree = read(write(run, done / "r.html"))
    text = "".join(tree.text)
    for said in ("How the mix developed", "normal/x[1]<-prev", "one-hot supernet", "nasdsl run",
                 "discretization gap", "mean share of each operation, normal", "versions"):  # fmt: skip
        assert said in text, said


def test_an_unfinished_suite_and_a_foreign_folder(done, tmp_path):
    spec = done / "tiny.nas"
    from nasdsl import driver
    from nasdsl.suite import declaration, planning
    from nasdsl.suite.folder import create

    loaded = driver.load(spec)
    made = planning.plan(loaded, declaration.declared(loaded, "every"))
    create(tmp_path / "new", loaded, made)
    assert "No statistics yet" in write(tmp_path / "new", tmp_path / "n.html")
    wrong = CliRunner().invoke(cli, ["report", str(tmp_path), "-o", str(tmp_path / "x.html")])
    assert wrong.exit_code == 1 and "is no run folder" in wrong.output


def test_names_cannot_write_into_the_page():
    bad = "<script>"
    made = Page(bad, [page.facts([(bad, bad)]), Key([bad]), Table("t", [[bad, bad]], [bad, bad])])
    drawn = Figure("f", lines({bad: [(0, 1), (1, 2)], "b": [(0, 1)]}, title=bad), bad)
    made = Page(bad, [*made.parts, Section(bad, [drawn])])
    assert bad not in made.html and "&lt;script&gt;" in made.html
    assert bad not in drawn.chart.standalone


def test_axes_have_round_marks():
    assert ticks(0, 1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert [said for _, said in decades(1e5, 2.2e6)] == ["100 k", "200 k", "500 k", "1 M", "2 M"]
    assert [said for _, said in decades(3.1e6, 3.9e6)] == ["3.1 M", "3.9 M"]


def test_nothing_is_drawn_of_nothing():
    assert lines({"a": [(1.0, float("nan"))]}) is None and lines({}) is None
    assert bars([], title="", what="") is None and spread([], title="") is None
    assert front([("a", 0.0, 1.0)], across="", up="") is None
    assert Page("t", [Section("empty", [])]).html.count("<h2>") == 0


def test_no_bars_without_a_significant_test():
    ranks = [("a", 1.4), ("b", 2.0), ("c", 2.6)]
    assert 'stroke-width="4"' in ranking(ranks, 2.0, [("a", "b", "c")]).inline
    assert 'stroke-width="4"' not in ranking(ranks, 2.0, None).inline


def test_the_front_is_what_none_beats():
    points = [("a", 1.0, 1.0), ("b", 2.0, 3.0), ("c", 3.0, 2.0), ("d", 2.0, 3.0), ("e", 4.0, 3.0)]
    assert on_front(points) == [True, True, False, True, False]
    assert on_front(points, higher=False) == [True, False, False, False, False]


def test_an_axis_begins_at_zero_unless_lines_would_lie_on_each_other():
    wide = lines({"a": [(0, 0.1), (1, 0.9)]}, from_zero=True)
    near = lines({"a": [(0, 0.124), (1, 0.126)]}, from_zero=True)
    assert ">0.0<" in wide.inline and ">0.00<" not in near.inline and ">0.125" in near.inline


def test_long_lines_are_thinned_but_not_their_numbers():
    chart = lines({"a": [(float(i), float(i)) for i in range(1000)]})
    assert chart.inline.count(" L ") == 119 and len(chart.rows) == 1000
    assert chart.csv.splitlines()[1000] == "999.0,999.0"


# ---- plots as files


def test_every_plot_is_a_file_with_its_numbers(done):
    folder = done / "plots"
    made = CliRunner().invoke(cli, ["report", str(done / "out"), "--plots", str(folder)])
    assert made.exit_code == 0, made.output
    names = {p.name for p in folder.iterdir()}
    for stem in ("results", "ranks", "front-parameters", "front-multiply-adds", "gap", "operations",
                 "soft-on-tiny-cell-normal", "shares-soft-on-tiny-normal"):  # fmt: skip
        assert f"{stem}.svg" in names, sorted(names)
    for file in folder.glob("*.svg"):
        text = file.read_text()
        assert text.startswith("<svg xmlns=") and "var(" not in text and "class=" not in text, file
        assert not re.search(r"https?://(?!www.w3.org/2000/svg)", text)
    rows = list(csv.reader(io.StringIO((folder / "front-parameters.csv").read_text())))
    assert rows[0] == ["", "parameters", "test.error", "on the front"] and len(rows) == 3
    again = CliRunner().invoke(cli, ["report", str(done / "out"), "--plots", str(folder)])
    assert again.exit_code == 2 and "is not empty" in again.output
    none = CliRunner().invoke(cli, ["report", str(done / "out")])
    assert none.exit_code == 2 and "say what to write" in none.output


def test_png_needs_its_extra_and_the_rest_does_not(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cairosvg", None)
    made = CliRunner().invoke(cli, ["report", str(FILE), "--plots", str(tmp_path / "p")])
    assert made.exit_code == 0
    assert "no PNG files: cairosvg is not installed: pip install 'nasdsl[png]'" in made.output
    assert (tmp_path / "p" / "critical-difference.svg").is_file()
    assert not list((tmp_path / "p").glob("*.png"))


def test_png_is_drawn(published, tmp_path):
    pytest.importorskip("cairosvg", reason="the extra `png` is not installed")
    from PIL import Image

    from nasdsl.report.png import renderer

    chart = ranking([("a", 1.4), ("b", 2.0), ("c", 2.6)], 2.0, [("a", "b")])
    written = write_plots(Page("t", [Figure("CD", chart)]), tmp_path, renderer())
    assert written == ["CD.svg", "CD.csv", "CD.png"]
    with Image.open(tmp_path / "CD.png") as image:
        colours = image.convert("RGB").getcolors(100_000)
        assert image.width == 960 and len(colours) > 20


def test_names_of_files_are_plain_and_differ(tmp_path):
    assert slug("weights normal/x[1]<-prev") == "weights-normal-x1-prev" and slug("/..") == "plot"
    one = bars([("a", 1.0)], title="t", what="w")
    written = write_plots(Page("t", [Figure("a b", one), Figure("A/B", one)]), tmp_path, None)
    assert written == ["a-b.svg", "a-b.csv", "A-B-2.svg", "A-B-2.csv"]
