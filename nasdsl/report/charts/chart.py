"""A chart: a drawing whose colours are those of the page around it, and its numbers as a table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from nasdsl.report.svg import text_width

#: Names of colours, on light paper and on dark: what a page sets and a file of its own holds.
LIGHT = {
    "paper": "#ffffff", "ink": "#1f2933", "soft": "#616e7c", "line": "#d5dae1",
    "good": "#2171b5", "bad": "#bf5700",
    "c0": "#2171b5", "c1": "#bf5700", "c2": "#2e8b57", "c3": "#8e44ad", "c4": "#b8860b",
    "c5": "#c0392b", "c6": "#16858c", "c7": "#7f5539", "c8": "#d6479a", "c9": "#616e7c",
}  # fmt: skip
DARK = {
    "paper": "#14181d", "ink": "#e4e7eb", "soft": "#9aa5b1", "line": "#39424e",
    "good": "#58a6e6", "bad": "#e68c3c",
    "c0": "#58a6e6", "c1": "#f0a35e", "c2": "#5fc58c", "c3": "#c78be0", "c4": "#e0c050",
    "c5": "#f07a6a", "c6": "#52c6cc", "c7": "#c7a17a", "c8": "#f08cc4", "c9": "#9aa5b1",
}  # fmt: skip
COLOURS = 10
#: Every chart is as wide, in its own units; a page scales it, and on a phone it still can be read.
WIDTH = 480.0
SIZE = 12.0
FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"

Cell = str | float | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """`body` is SVG; `head` and `rows` are what it shows, `key` the names of its colours."""

    title: str
    width: float
    height: float
    body: tuple[str, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    key: tuple[str, ...] = ()

    def without_key(self) -> Chart:
        """The chart where its page says once for several what the colours are."""
        return replace(self, key=())

    @property
    def inline(self) -> str:
        """SVG for a page that sets the colours."""
        return (
            f'<svg class="chart" viewBox="0 0 {_n(self.width)} {_n(self.height)}" role="img">'
            f"<title>{escape(self.title)}</title>{''.join(self.body)}</svg>"
        )

    @property
    def standalone(self) -> str:
        """SVG as a file: its own colours, light paper, the key below."""
        below, deep = _key(self.key, self.width, self.height)
        text = "".join([*self.body, *below])
        text = re.sub(r"var\(--([a-z0-9]+)\)", lambda m: LIGHT[m[1]], text)
        text = text.replace('class="soft"', f'fill="{LIGHT["soft"]}"')
        text = text.replace('class="axis"', f'stroke="{LIGHT["line"]}" stroke-width="1"')
        height = self.height + deep
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(self.width)}" '
            f'height="{_n(height)}" viewBox="0 0 {_n(self.width)} {_n(height)}" '
            f'font-family="{FONT}" font-size="{_n(SIZE)}" fill="{LIGHT["ink"]}">\n'
            f"<title>{escape(self.title)}</title>\n"
            f'<rect width="{_n(self.width)}" height="{_n(height)}" fill="{LIGHT["paper"]}"/>\n'
            f"{text}\n</svg>\n"
        )

    @property
    def csv(self) -> str:
        """The numbers, every digit of them."""
        return csv_text(self.head, self.rows)


def csv_text(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table as CSV; a missing value is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow(["" if v is None else repr(v) if isinstance(v, float) else v for v in row])
    return out.getvalue()


def colour(i: int) -> str:
    return f"var(--c{i % COLOURS})"


def dash(i: int) -> str:
    """Lines beyond the colours there are are dashed."""
    return "" if i < COLOURS else ' stroke-dasharray="5 3"'


def text(x: float, y: float, said: str, *, anchor: str = "middle", soft: bool = False) -> str:
    css = ' class="soft"' if soft else ""
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{css}>{escape(said)}</text>'


def fitted(said: str, room: float) -> str:
    """A text cut to a width, so that nothing is drawn over."""
    if text_width(said, SIZE) <= room:
        return said
    while said and text_width(said + "…", SIZE) > room:
        said = said[:-1]
    return said.rstrip() + "…"


def gutter(names: Sequence[str], *, most: float = WIDTH * 0.42) -> float:
    """How much room the longest of some names needs, within limits."""
    return min(most, max((text_width(n, SIZE) for n in names), default=0.0) + 10)


def _n(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def _key(names: Sequence[str], width: float, top: float) -> tuple[list[str], float]:
    """Which colour is what, in as many lines as it takes, and how high they are."""
    if not names:
        return [], 0.0
    x, y, made = 10.0, top + 16, []
    for i, name in enumerate(names):
        wide = text_width(name, SIZE) + 34
        if x > 10 and x + wide > width:
            x, y = 10.0, y + 17
        made.append(
            f'<path d="M {_n(x)} {_n(y - 4)} h 14" stroke="{colour(i)}" stroke-width="3"{dash(i)}/>'
        )
        made.append(text(x + 19, y, name, anchor="start"))
        x += wide
    return made, y + 10 - top
