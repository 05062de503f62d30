"""The style of a page: light and dark, wide and narrow, on screen and on paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nasdsl.report import svg
from nasdsl.report.charts.chart import DARK, LIGHT


def style() -> str:
    """CSS with nothing that would be fetched."""
    return (
        f":root {{ color-scheme: light dark; {_colours(LIGHT)} --panel: #f5f7fa; --mark: #b44d12; }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {_colours(DARK)} --panel: #1d232b; "
        f"--mark: #f0a35e; }}\n{chr(10).join(_drawings())} }}\n{_REST}"
    )


def _colours(given: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in given.items())


def _drawings() -> Iterator[str]:
    """Drawings of cells name their colours; on dark paper other ones stand for them."""
    yield f'.paper [fill="{svg.INK}"] {{ fill: {DARK["ink"]}; }}'
    yield f'.paper [stroke="{svg.INK}"] {{ stroke: {DARK["ink"]}; }}'
    yield f'.paper [fill="{svg.PAPER}"] {{ fill: {DARK["paper"]}; }}'
    yield '.paper [fill="#52606d"] { fill: #9aa5b1; }'
    seen = {svg.INK, svg.PAPER}
    for fill, stroke in (*svg.COLOURS.values(), *svg.BOXES.values()):
        if fill not in seen:
            seen.add(fill)
            yield f'.paper [fill="{fill}"] {{ fill: {_mixed(stroke, DARK["paper"], 0.38)}; }}'


def _mixed(a: str, b: str, share: float) -> str:
    """A colour between two, nearer to `b` the smaller the share."""
    parts = [
        round(int(a[i : i + 2], 16) * share + int(b[i : i + 2], 16) * (1 - share))
        for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{p:02x}" for p in parts)


_REST = """
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 66rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 44rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: separate; border-spacing: 0; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .55rem; text-align: right; white-space: nowrap; }
tbody th, tbody td { border-top: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; font-weight: 500; position: sticky; left: 0;
  background: var(--paper); }
thead th { border-bottom: 1px solid var(--line); font-weight: 600; vertical-align: bottom; }
td small { color: var(--soft); display: block; }
.tinted { background: color-mix(in srgb, var(--tone) var(--much), transparent); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .5rem 0;
  font-size: .93rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.note { border-left: 3px solid var(--mark); background: var(--panel); padding: .4rem .8rem;
  margin: .5rem 0; max-width: 46rem; font-size: .93rem; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; background: var(--panel); padding: .6rem .8rem; overflow-x: auto;
  font-size: .85rem; border-radius: 4px; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
figure { margin: .6rem 0; } figcaption { color: var(--soft); font-size: .88rem; max-width: 44rem; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  gap: .4rem 1.4rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15.5rem), 1fr));
  gap: .6rem; }
.paper { border: 1px solid var(--line); border-radius: 4px; padding: .3rem; overflow-x: auto; }
.paper svg { max-width: none; display: block; }
svg.chart { width: 100%; height: auto; display: block; max-width: 32rem; }
.grid svg.chart { max-width: 19rem; }
svg.chart text { fill: var(--ink); font: 12px system-ui, Helvetica, Arial, sans-serif; }
svg.chart .soft { fill: var(--soft); } svg.chart .axis { stroke: var(--line); stroke-width: 1; }
.key { display: flex; flex-wrap: wrap; gap: .1rem .9rem; font-size: .85rem; margin: .2rem 0; }
.key span::before { content: ""; display: inline-block; width: .9em; height: .28em;
  margin-right: .35em; vertical-align: middle; background: var(--k); }
details { margin: .4rem 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
@media (max-width: 30rem) { body { padding: .8rem .7rem 3rem; font-size: 15px; }
  dl { grid-template-columns: minmax(0, max-content) 1fr; gap: .15rem .8rem; }
  th, td { padding: .25rem .4rem; }
  th:first-child, td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 7.5rem;
    max-width: 10rem; }
  figure > svg.chart text { font-size: 13px; } }
@media print { body { max-width: none; font-size: 10pt; padding: 0; } h2 { break-after: avoid; }
  figure, tr, .note { break-inside: avoid; } .wide, .paper { overflow: visible; }
  table { font-size: 7.5pt; } th, td { padding: .1rem .3rem; white-space: normal; }
  .paper svg { max-width: 100%; height: auto; }
  details > * { display: block; } details::details-content { content-visibility: visible; display: block; height: auto; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
