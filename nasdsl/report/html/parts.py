"""What a page is made of: sections of text, tables, charts and drawings.

A page can be shown (`Page.html`) or taken apart (`Page.pictures`): each named picture or table is
then a file of its own.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from nasdsl.report.charts.chart import Chart, colour
from nasdsl.report.html import page


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with what stands below it; its colours are said above unless a key does so."""

    name: str
    chart: Chart
    caption: str = ""
    key: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts; of a cell the lines after the first are small.

    `shades` colours cells by numbers in [-1, 1]: blue for high ones, orange for low ones.
    """

    name: str
    rows: Sequence[Sequence[str]]
    head: Sequence[str]
    shades: Sequence[Sequence[float | None]] = ()


@dataclass(frozen=True, slots=True)
class Drawing:
    """The drawing of a cell, as SVG with colours of its own."""

    name: str
    svg: str


@dataclass(frozen=True, slots=True)
class Key:
    """What the colours of the charts that follow are."""

    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Beside:
    """Charts that stand beside each other where there is room; `small` ones in many columns."""

    figures: Sequence[Figure]
    small: bool = False


@dataclass(frozen=True, slots=True)
class Folded:
    """Something that is opened by those who want it."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it; nothing where nothing does."""

    title: str
    parts: Sequence[Part]


#: A text is HTML; whoever makes it has escaped what came from elsewhere.
Part = str | Figure | Table | Drawing | Key | Beside | Folded | Section
Picture = Figure | Table | Drawing


@dataclass(frozen=True, slots=True)
class Page:
    """A title and sections."""

    title: str
    parts: Sequence[Part]

    @property
    def html(self) -> str:
        """The whole page as one text."""
        numbers = itertools.count()
        return page.document(self.title, (_html(p, numbers) for p in self.parts))

    @property
    def pictures(self) -> list[Picture]:
        """Every named chart, table and drawing, in order."""
        return list(_pictures(self.parts))


def figure(
    name: str, chart: Chart | None, caption: str = "", *, key: bool = True
) -> tuple[Figure, ...]:
    """A figure, or nothing where there is nothing to draw."""
    return () if chart is None else (Figure(name, chart, caption, key),)


def _pictures(parts: Iterable[Part]) -> Iterator[Picture]:
    for part in parts:
        match part:
            case Figure() | Drawing():
                yield part
            case Table() if part.name:
                yield part
            case Beside():
                yield from part.figures
            case Folded() | Section():
                yield from _pictures(part.parts)


def _html(part: Part, numbers: Iterator[int]) -> str:
    match part:
        case str():
            return part
        case Figure():
            said = f"<figcaption>{escape(part.caption)}</figcaption>" if part.caption else ""
            key = _key(part.chart.key) if part.key and part.chart.key else ""
            return f"<figure>{key}{part.chart.inline}{said}</figure>"
        case Table():
            return _table(part)
        case Drawing():
            return f"<figure>{_drawing(part.svg, next(numbers))}</figure>"
        case Key():
            return _key(part.names)
        case Beside():
            inner = "".join(_html(f, numbers) for f in part.figures)
            return f'<div class="{"grid" if part.small else "side"}">{inner}</div>' if inner else ""
        case Folded():
            inner = _all(part.parts, numbers)
            return (
                f"<details><summary>{escape(part.title)}</summary>{inner}</details>"
                if inner
                else ""
            )
        case Section():
            inner = _all(part.parts, numbers)
            return f"<h2>{escape(part.title)}</h2>\n{inner}" if inner else ""


def _all(parts: Iterable[Part], numbers: Iterator[int]) -> str:
    return "\n".join(made for p in parts if (made := _html(p, numbers)))


def _key(names: Sequence[str]) -> str:
    spans = "".join(
        f'<span style="--k: {colour(i)}">{escape(n)}</span>' for i, n in enumerate(names)
    )
    return f'<div class="key">{spans}</div>'


def _table(part: Table) -> str:
    if not part.rows:
        return ""
    lines = ["<thead><tr>", *(f"<th>{escape(h)}</th>" for h in part.head), "</tr></thead><tbody>"]
    for i, row in enumerate(part.rows):
        cells = []
        for j, text in enumerate(row):
            first, _, second = text.partition("\n")
            shade = None
            if i < len(part.shades) and j < len(part.shades[i]):
                shade = part.shades[i][j]
            style = ""
            if shade is not None:
                tone = "good" if shade >= 0 else "bad"
                much = min(1.0, abs(shade)) * 45
                style = f' class="tinted" style="--tone: var(--{tone}); --much: {much:.0f}%"'
            small = f"<small>{escape(second)}</small>" if second else ""
            tag = "th" if j == 0 else "td"
            cells.append(f"<{tag}{style}>{escape(first)}{small}</{tag}>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</tbody></table></div>'


def _drawing(svg: str, number: int) -> str:
    """A drawing; the arrow heads of each have a name of their own."""
    inline = re.sub(r' xmlns="[^"]*"', "", svg, count=1)
    inline = inline.replace('id="tip"', f'id="tip{number}"').replace("#tip)", f"#tip{number})")
    return f'<div class="paper">{inline}</div>'
