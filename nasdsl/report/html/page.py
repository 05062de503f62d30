"""The frame of a report: one HTML file with everything in it, and the pieces it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from nasdsl.version import VERSION

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1f2933; --soft: #616e7c;
  --line: #d5dae1; --panel: #f5f7fa; --mark: #b44d12; --good: 33, 113, 181; --bad: 191, 87, 0;
  --c0: #2171b5; --c1: #bf5700; --c2: #2e8b57; --c3: #8e44ad; --c4: #b8860b; --c5: #c0392b;
  --c6: #16858c; --c7: #7f5539; --c8: #d6479a; --c9: #616e7c; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e4e7eb; --soft: #9aa5b1;
  --line: #39424e; --panel: #1d232b; --mark: #f0a35e; --good: 88, 166, 230; --bad: 230, 140, 60;
  --c0: #58a6e6; --c1: #f0a35e; --c2: #5fc58c; --c3: #c78be0; --c4: #e0c050; --c5: #f07a6a;
  --c6: #52c6cc; --c7: #c7a17a; --c8: #f08cc4; --c9: #9aa5b1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 66rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
p { margin: .4rem 0; max-width: 44rem; } .soft { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .55rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid var(--line); font-weight: 600; vertical-align: bottom; }
td small { color: var(--soft); display: block; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .5rem 0;
  font-size: .93rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.note { border-left: 3px solid var(--mark); background: var(--panel); padding: .4rem .8rem;
  margin: .5rem 0; max-width: 46rem; font-size: .93rem; }
pre { white-space: pre-wrap; background: var(--panel); padding: .6rem .8rem; overflow-x: auto; font-size: .85rem;
  border-radius: 4px; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
figure { margin: .6rem 0; } figcaption { color: var(--soft); font-size: .88rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr)); gap: .6rem; }
.paper { background: #ffffff; border: 1px solid var(--line); border-radius: 4px; padding: .3rem;
  overflow-x: auto; }
.paper svg { max-width: none; display: block; }
svg.chart { width: 100%; height: auto; display: block; max-width: 46rem; }
.grid svg.chart { max-width: 24rem; }
svg.chart text { fill: var(--ink); font: 11px system-ui, Helvetica, Arial, sans-serif; }
svg.chart .soft { fill: var(--soft); } svg.chart .axis { stroke: var(--line); stroke-width: 1; }
.key { display: flex; flex-wrap: wrap; gap: .1rem .9rem; font-size: .85rem; margin: .2rem 0; }
.key span::before { content: ""; display: inline-block; width: .9em; height: .28em;
  margin-right: .35em; vertical-align: middle; background: var(--k); }
details { margin: .4rem 0; } summary { cursor: pointer; }
@media (max-width: 30rem) { body { padding: .8rem .7rem 3rem; font-size: 15px; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .3rem; }
  figure > svg.chart { min-width: 30rem; } figure { overflow-x: auto; }
  figure > svg.chart text { font-size: 14px; } }
@media print { body { max-width: none; font-size: 10pt; padding: 0; } h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; } .wide { overflow: visible; } table { font-size: 7.5pt; }
  th, td { padding: .1rem .3rem; } details > * { display: block; } }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """A page. Nothing in it is fetched from anywhere, and nothing runs."""
    body = "\n".join(p for p in parts if p)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n{body}\n<p class="soft">Made by nasdsl {VERSION}.</p>\n'
        "</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading and what stands under it; nothing where nothing does."""
    body = "\n".join(p for p in parts if p)
    return f"<h2>{escape(title)}</h2>\n{body}" if body else ""


def paragraph(text: str, *, soft: bool = False) -> str:
    return f"<p{' class=' + chr(34) + 'soft' + chr(34) if soft else ''}>{escape(text)}</p>"


def note(text: str) -> str:
    return f'<div class="note">{escape(text)}</div>'


def facts(items: Iterable[tuple[str, str]]) -> str:
    """Names and values."""
    inner = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in items if v)
    return f"<dl>{inner}</dl>" if inner else ""


def table(
    rows: Sequence[Sequence[str]],
    head: Sequence[str],
    shades: Sequence[Sequence[float | None]] = (),
) -> str:
    """A table; a second line in a cell, after a line break, is small.

    `shades` colours cells by numbers in [-1, 1]: blue for high ones, orange for low ones.
    """
    lines = ["<thead><tr>", *(f"<th>{escape(h)}</th>" for h in head), "</tr></thead><tbody>"]
    for i, row in enumerate(rows):
        cells = []
        for j, text in enumerate(row):
            first, _, second = text.partition("\n")
            shade = shades[i][j] if i < len(shades) and j < len(shades[i]) else None
            style = ""
            if shade is not None:
                tone = "--good" if shade >= 0 else "--bad"
                style = f' style="background: rgba(var({tone}), {min(1.0, abs(shade)) * 0.45:.2f})"'
            inner = escape(first) + (f"<small>{escape(second)}</small>" if second else "")
            tag = "th" if j == 0 else "td"
            cells.append(f"<{tag}{style}>{inner}</{tag}>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</tbody></table></div>'


def code(text: str) -> str:
    return f"<pre><code>{escape(text)}</code></pre>"


def figure(inner: str, caption: str = "") -> str:
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{inner}{said}</figure>"


def folded(title: str, inner: str) -> str:
    """Something that is opened by those who want it."""
    return f"<details><summary>{escape(title)}</summary>{inner}</details>"


def drawing(svg: str, number: int) -> str:
    """A drawing on white paper; the arrow heads of each have a name of their own."""
    inline = re.sub(r' xmlns="[^"]*"', "", svg, count=1)
    inline = inline.replace('id="tip"', f'id="tip{number}"').replace("#tip)", f"#tip{number})")
    return f'<div class="paper">{inline}</div>'
