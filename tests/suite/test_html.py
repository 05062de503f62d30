"""Reports as HTML: whole, without anything from elsewhere, and readable where a browser is there."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner

from nasdsl.cli.main import cli
from nasdsl.report.html import charts, page
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
    return results_page(table.read(FILE), FILE, summary="mean", alpha=0.05)


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
    assert len(published) < 3_000_000
    assert str(FILE.parent.parent) not in published.split("How to repeat it")[0]


def test_a_suite_is_drawn(done):
    text = write(done / "out", done / "s.html")
    tree = read(text)
    assert "soft on tiny" in "".join(tree.text)
    assert text.count('class="paper"') == 4  # two optimizers, two cells each
    assert "one seed per cell" not in text
    again = CliRunner().invoke(cli, ["report", str(done / "out"), "-o", str(done / "s.html")])
    assert again.exit_code == 2 and "--force" in again.output


def test_a_run_is_drawn(done):
    run = next(p for p in sorted((done / "out" / "cells").iterdir()) if (p / "log.jsonl").is_file())
    tree = read(write(run, done / "r.html"))
    text = "".join(tree.text)
    for said in ("How the mix developed", "normal/x[1]<-prev", "one-hot supernet", "nasdsl run"):
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
    assert "<script" not in page.document("<script>", [page.facts([("<script>", "<script>")])])
    assert "<b>" not in charts.key(["<b>"])
    assert charts.lines({"a": [(1.0, float("nan"))]}) == ""
    assert charts.ticks(0, 1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_no_bars_without_a_significant_test():
    ranks = [("a", 1.4), ("b", 2.0), ("c", 2.6)]
    assert 'stroke-width="4"' in charts.ranking(ranks, 2.0, [("a", "b", "c")])
    assert 'stroke-width="4"' not in charts.ranking(ranks, 2.0, None)


# ---- a browser

BROWSER = next((b for b in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if b), None)  # fmt: skip


def pixels(path):
    """Width, height and rows of RGB(A) bytes of a PNG without interlacing."""
    data = path.read_bytes()
    place, packed = 8, b""
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, _, colour = struct.unpack(">IIBB", body[:10])
        elif kind == b"IDAT":
            packed += body
        place += length + 12
    size = {2: 3, 6: 4}[colour]
    raw = zlib.decompress(packed)
    rows, before = [], bytearray(width * size)
    for y in range(height):
        start = y * (width * size + 1)
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + width * size])
        for i in range(len(row)):
            a = row[i - size] if i >= size else 0
            b, c = before[i], before[i - size] if i >= size else 0
            if kind == 1:
                row[i] = (row[i] + a) & 255
            elif kind == 2:
                row[i] = (row[i] + b) & 255
            elif kind == 3:
                row[i] = (row[i] + (a + b) // 2) & 255
            elif kind == 4:
                p = a + b - c
                near = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
                row[i] = (row[i] + near) & 255
        rows.append(bytes(row))
        before = row
    return width, height, size, rows


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_seen(published, tmp_path, width):
    """The page is drawn, in the width asked for, with text on it and coloured cells."""
    file, shot = tmp_path / "p.html", tmp_path / "p.png"
    file.write_text(published)
    # A frame of the width wanted, as the browser's own window may not be made so narrow.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<body style="margin:0"><iframe src="p.html" width="{width}" height="1400" '
        'style="border:0"></iframe>'
    )
    subprocess.run(
        [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--allow-file-access-from-files", f"--window-size={max(width, 600)},1400",
         f"--screenshot={shot}", frame.as_uri()],
        check=True, timeout=180, capture_output=True,
    )  # fmt: skip
    wide, high, size, rows = pixels(shot)
    assert wide >= width and high >= 1000
    inside = [[row[x * size : x * size + 3] for x in range(0, width, 2)] for row in rows[::4]]
    dark = sum(sum(p) < 240 for row in inside for p in row)
    coloured = sum(max(p) - min(p) > 40 for row in inside for p in row)
    assert dark > 500, "no text"
    assert coloured > 1500, "no shaded cells"
    # Nothing of the page runs out of it at the right: the last columns are paper.
    edge = [row[(width - 4) * size : (width - 4) * size + 3] for row in rows]
    assert sum(sum(p) < 600 for p in edge) < len(edge) * 0.05
