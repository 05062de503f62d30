"""Reports as a browser shows them: wide and narrow, light and dark, on paper, without a network."""

from __future__ import annotations

from pathlib import Path

import browser
import pytest
import tiny
from click.testing import CliRunner

from nasdsl.cli.main import cli
from nasdsl.report.charts.chart import DARK, LIGHT

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason=browser.WHY)

FILE = Path(__file__).parent / "data" / "darts_bench_suite.csv"
PAGES = ("table", "suite", "run")
WIDTHS = (1280, 390)


def nasdsl(*args):
    made = CliRunner().invoke(cli, ["-q", *map(str, args)])
    assert made.exit_code == 0, made.output


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A report of each kind: of a table, of a suite, of one of its runs."""
    home = tmp_path_factory.mktemp("pages")
    # A health that is measured, and names that are long.
    text = tiny.TEXT.replace(
        "arch.lr = rate", "arch.lr = rate\n  measure = entropy + skip_share + gap"
    )
    (home / "tiny.nas").write_text(text + "suite seen extends every {\n  seeds = [0]\n}\n")
    nasdsl("suite", "run", home / "tiny.nas", "--suite", "seen", "-o", home / "out", "--inline")
    run = next(p for p in sorted((home / "out" / "cells").iterdir()) if (p / "log.jsonl").is_file())
    for name, source in (("table", FILE), ("suite", home / "out"), ("run", run)):
        nasdsl("report", source, "-o", home / f"{name}.html")
    return {name: home / f"{name}.html" for name in PAGES}


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    made = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


def paper(image):
    """The most frequent colour of a picture, as `#rrggbb`, and the share it has."""
    colours = image.getcolors(image.width * image.height)
    count, colour = max(colours)
    return "#{:02x}{:02x}{:02x}".format(*colour), count / (image.width * image.height)


#: Boxes of charts and drawings that are wider than nothing, in page coordinates.
DRAWN = """
[...document.querySelectorAll('svg')].map(s => { const b = s.getBoundingClientRect();
  return [b.x, b.y + scrollY, b.width, b.height]; })
"""
#: Texts of charts that stick out of them, and texts of a chart that lie on each other.
CUT = """
[...document.querySelectorAll('svg')].flatMap(s => { const v = s.viewBox.baseVal;
  return [...s.querySelectorAll('text')].filter(t => { const b = t.getBBox();
    return b.x < -1 || b.y < -1 || b.x + b.width > v.width + 1 || b.y + b.height > v.height + 1; })
    .map(t => t.textContent + ' in ' + s.querySelector('title').textContent); })
"""
MET = """
[...document.querySelectorAll('svg')].flatMap(s => { const ts = [...s.querySelectorAll('text')]
    .map(t => [t.getBBox(), t.textContent]);
  return ts.flatMap(([a, x], i) => ts.slice(i + 1).filter(([b]) =>
      a.x + a.width > b.x + 1 && b.x + b.width > a.x + 1 &&
      a.y + a.height > b.y + 3 && b.y + b.height > a.y + 3)
    .map(([b, y]) => x + ' on ' + y + ' in ' + s.querySelector('title').textContent)); })
"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_seen_whole(chromium, pages, name, width):
    seen = {}
    for dark in (False, True):
        chromium.show(pages[name], width=width, dark=dark)
        inner, whole = chromium.value("[innerWidth, document.scrollingElement.scrollWidth]")
        assert inner == width and whole <= width, "the page scrolls sideways"
        assert chromium.requested == [pages[name].as_uri()]
        assert chromium.value(CUT) == [] and chromium.value(MET) == []
        image = chromium.picture()
        assert image.width == width and image.height > 900
        colour, share = paper(image)
        assert colour == (DARK if dark else LIGHT)["paper"] and share < 0.99
        seen[dark] = image
    boxes = chromium.value(DRAWN)
    assert len(boxes) >= 8
    for x, y, wide, high in boxes:
        assert wide > 100 and high > 20 and x >= 0, "a drawing is not there"
        # What a drawing shows is seen: other colours than the paper's, in both schemes.
        right, bottom = min(width, x + wide), min(seen[True].height, y + high)
        for image in seen.values():
            part = image.crop((int(x), int(y), int(right), int(bottom)))
            assert len(part.getcolors(part.width * part.height)) > 12, "a drawing is blank"
    light, dark = (paper(seen[d])[0] for d in (False, True))
    assert light != dark


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_printed(chromium, pages, name):
    chromium.show(pages[name], width=1280, dark=True)
    pdf = chromium.pdf()
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
    # Paper is narrow, and details are shown there though nobody opened them.
    chromium.show(pages[name], width=720, media="print")
    chromium.value("document.querySelectorAll('details').forEach(d => d.open = false)")
    hidden = chromium.value(
        "[...document.querySelectorAll('details > *')].filter(e => !e.getClientRects().length)"
        ".length"
    )
    assert hidden == 0
    inner, whole = chromium.value("[innerWidth, document.scrollingElement.scrollWidth]")
    assert whole <= inner


def test_text_can_be_read_on_its_ground(chromium, pages):
    """Contrast of at least 4.5 (WCAG 2.1, 1.4.3) of all text that is drawn, in both schemes."""
    script = """
    (() => { const lum = c => { const p = c.match(/[\\d.]+/g).slice(0, 3).map(v => { v /= 255;
        return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
        return .2126 * p[0] + .7152 * p[1] + .0722 * p[2]; };
      const ground = lum(getComputedStyle(document.body).backgroundColor);
      return [...document.querySelectorAll('p, dt, dd, h1, h2, figcaption, svg.chart text')]
        .map(e => { const s = getComputedStyle(e); const l = lum(e.closest('svg') ? s.fill : s.color);
          return [(Math.max(l, ground) + .05) / (Math.min(l, ground) + .05), e.textContent]; })
        .filter(([c]) => c < 4.5).map(([c, t]) => c.toFixed(2) + ' ' + t); })()
    """
    for dark in (False, True):
        chromium.show(pages["suite"], width=1280, dark=dark)
        assert chromium.value(script) == []
