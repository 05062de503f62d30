"""A picture as SVG: hand-written text, the same for the same picture, readable in print."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from html import escape

from nasdsl.report.layout import Item, Layout, layered
from nasdsl.report.picture import Box, Link, Picture

FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
MARGIN = 20.0
INK, LINE, PAPER = "#1f2933", "#7b8794", "#ffffff"

#: Fill and stroke of operations; light fills, so that black print stays readable.
COLOURS = {
    "choice": ("#eef1f5", "#9aa5b1"),
    "none": ("#f5f5f5", "#bdbdbd"),
    "skip": ("#e3f4e8", "#5aa875"),
    "pool": ("#e1effa", "#4f8fc4"),
    "conv": ("#fdebd8", "#d98a3d"),
    "separable": ("#fbe3dc", "#d0694a"),
    "dilated": ("#f1e4f7", "#9a63b8"),
    "other": ("#fdf6d8", "#bfa43a"),
}
BOXES = {
    "input": ("#e4e7eb", "#52606d"),
    "node": (PAPER, INK),
    "output": (INK, INK),
    "stem": ("#e4e7eb", "#7b8794"),
    "head": ("#e4e7eb", "#7b8794"),
    "aux": (PAPER, "#9aa5b1"),
}
#: Colours of stages, given to cells in order of appearance.
STAGES = tuple(COLOURS[k] for k in ("pool", "conv", "skip", "dilated", "separable", "other"))


def cell_svg(picture: Picture) -> str:
    """A cell from left to right."""
    boxes = [_box_size(b) for b in picture.boxes]
    labels = [(text_width(k.label, 11.5) + 18, 22.0) for k in picture.links]
    layout = layered(picture, boxes, labels, space=34)
    top = MARGIN + 30
    body: list[str] = []
    for link, path in zip(picture.links, layout.paths, strict=True):
        body += _link(link, path, layout, top)
    for item in layout.items:
        if item.kind == "label":
            body += _label(picture.links[item.index], item, top)
        elif item.kind == "box":
            body += _box(picture.boxes[item.index], item, top)
    width = max(layout.width + 2 * MARGIN, text_width(picture.title, 14) + 2 * MARGIN, 260)
    legend = list(_legend(picture.legend, width))
    height = top + layout.height + MARGIN + (16 * len(legend) + 8 if legend else 0)
    for i, text in enumerate(legend):
        y = top + layout.height + 30 + 16 * i
        body.append(_text(MARGIN, y, text, 11, anchor="start", fill="#52606d"))
    return _document(picture.title, width, height, body)


def network_svg(picture: Picture) -> str:
    """Stages from top to bottom; connections that skip a stage run beside them."""
    wide = max(text_width(b.text, 12) + text_width(b.note, 11) + 56 for b in picture.boxes)
    wide = max(wide, 200.0)
    order = {b.id: i for i, b in enumerate(picture.boxes) if b.id != "aux"}
    step, tall, top = 46.0, 28.0, MARGIN + 34
    skips = [
        k for k in picture.links if k.target in order and order[k.target] - order[k.source] > 1
    ]
    lanes = _lanes([(order[k.source], order[k.target]) for k in skips])
    body: list[str] = []
    middle = MARGIN + wide / 2

    def y(name: str) -> float:
        return top + step * order[name]

    for link in picture.links:
        if link.target in order and order[link.target] - order[link.source] == 1:
            body.append(_line(middle, y(link.source) + tall, middle, y(link.target) - 1))
    right = MARGIN + wide
    for link, lane in zip(skips, lanes, strict=True):
        x, start, end = right + 16 + 12 * lane, y(link.source) + tall / 2 + 5, y(link.target)
        end += tall / 2 - 5
        body.append(
            f'<path d="M {_n(right)} {_n(start)} H {_n(x - 8)} Q {_n(x)} {_n(start)} {_n(x)} '
            f"{_n(start + 8)} V {_n(end - 8)} Q {_n(x)} {_n(end)} {_n(x - 8)} {_n(end)} "
            f'H {_n(right + 2)}" fill="none" stroke="{LINE}" stroke-width="1.1" '
            'marker-end="url(#tip)"/>'
        )
    colours = _stage_colours(picture.boxes)
    beside = 12.0 * (max(lanes) + 1) + 28 if lanes else 20.0
    total = right + beside
    for box in picture.boxes:
        if box.id == "aux":
            continue
        body += _stage(box, MARGIN, y(box.id), wide, tall, colours)
    for link in picture.links:
        if link.target == "aux":
            box = next(b for b in picture.boxes if b.id == "aux")
            left, aux_width = right + beside + 6, text_width(box.text, 12) + 40
            at = y(link.source) + tall / 2
            body.append(
                f'<path d="M {_n(right)} {_n(at)} H {_n(left - 2)}" fill="none" '
                f'stroke="{LINE}" stroke-width="1.1" stroke-dasharray="4 3" '
                'marker-end="url(#tip)"/>'
            )
            body += _stage(
                Box(box.id, box.text, box.role), left, at - tall / 2, aux_width, tall, colours
            )
            total = left + aux_width
    width = max(total + MARGIN, text_width(picture.title, 14) + 2 * MARGIN)
    return _document(picture.title, width, top + step * len(order) - 8, body)


def _lanes(ranges: list[tuple[int, int]]) -> list[int]:
    """A lane for every range, so that none overlap in one."""
    ends: list[int] = []
    found = []
    for start, end in ranges:
        lane = next((i for i, e in enumerate(ends) if e <= start), len(ends))
        if lane == len(ends):
            ends.append(end)
        ends[lane] = end
        found.append(lane)
    return found


def _stage_colours(boxes: Iterable[Box]) -> dict[str, tuple[str, str]]:
    colours = dict(BOXES)
    for box in boxes:
        if box.role not in colours:
            colours[box.role] = STAGES[(len(colours) - len(BOXES)) % len(STAGES)]
    return colours


def _stage(
    box: Box, x: float, y: float, width: float, height: float, colours: dict[str, tuple[str, str]]
) -> list[str]:
    fill, stroke = colours[box.role]
    lines = [_rect(x, y, width, height, 6, fill, stroke)]
    if not box.note:
        return [*lines, _text(x + width / 2, y + height / 2 + 4, box.text, 12)]
    lines.append(_text(x + 14, y + height / 2 + 4, box.text, 12, anchor="start"))
    note = _text(x + width - 14, y + height / 2 + 4, box.note, 11, anchor="end", fill="#52606d")
    return [*lines, note]


# ---- parts of a cell


def _box_size(box: Box) -> tuple[float, float]:
    width = max(text_width(box.text, 12.5), text_width(box.note, 9.5)) + 22
    return max(38.0, width), 40.0 if box.note else 30.0


def _box(box: Box, item: Item, top: float) -> list[str]:
    fill, stroke = BOXES.get(box.role, BOXES["node"])
    ink = PAPER if box.role == "output" else INK
    x, y = item.x + MARGIN, item.y + top
    radius = 15 if box.role == "node" else 6
    lines = [_rect(x - item.width / 2, y - item.height / 2, item.width, item.height, radius, fill, stroke, 1.4)]  # fmt: skip
    lines.append(_text(x, y + (0 if box.note else 4.5), box.text, 12.5, fill=ink, bold=True))
    if box.note:
        lines.append(_text(x, y + 13, box.note, 9.5, fill=ink))
    return lines


def _label(link: Link, item: Item, top: float) -> list[str]:
    fill, stroke = COLOURS.get(link.family, COLOURS["other"])
    x, y = item.x + MARGIN, item.y + top
    return [
        _rect(x - item.width / 2, y - 11, item.width, 22, 11, fill, stroke),
        _text(x, y + 4, link.label, 11.5),
    ]


def _link(link: Link, path: list[int], layout: Layout, top: float) -> list[str]:
    """A smooth line through the places of a link, an arrow at its end."""
    points: list[tuple[float, float]] = []
    for i, n in enumerate(path):
        item = layout.items[n]
        x, y = item.x + MARGIN, item.y + top
        half, edge = item.width / 2, item.span / 2
        if item.kind == "pass":
            points += [(x - edge, y), (x + edge, y)]
            continue
        if i > 0:
            tip = 1.5 if i == len(path) - 1 else 0
            points += [(x - edge - tip, y), (x - half - tip, y)]
        if i < len(path) - 1:
            points += [(x + half, y), (x + edge, y)]
    dash = ' stroke-dasharray="2 3"' if link.family == "none" else ""
    grey = "#b0b8c1" if link.family in ("none", "") else LINE
    text = [f"M {_n(points[0][0])} {_n(points[0][1])}"]
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        if (x0, y0) == (x1, y1):
            continue
        bend = (x1 - x0) * 0.55
        text.append(
            f"C {_n(x0 + bend)} {_n(y0)} {_n(x1 - bend)} {_n(y1)} {_n(x1)} {_n(y1)}"
            if abs(y1 - y0) > 0.05
            else f"L {_n(x1)} {_n(y1)}"
        )
    return [
        f'<path d="{" ".join(text)}" fill="none" stroke="{grey}" stroke-width="1.3"{dash} '
        'marker-end="url(#tip)"/>'
    ]


def _legend(lines: Iterable[str], width: float) -> Iterator[str]:
    for line in lines:
        yield from textwrap.wrap(line, max(30, int((width - 2 * MARGIN) / 5.9)))


# ---- SVG


def _document(title: str, width: float, height: float, body: list[str]) -> str:
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" font-family="{FONT}">',
        f"<title>{escape(title)}</title>",
        "<defs>",
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto" markerUnits="userSpaceOnUse">'
        f'<path d="M 0 0.6 L 8 4 L 0 7.4 z" fill="{LINE}"/></marker>',
        "</defs>",
        f'<rect width="{_n(width)}" height="{_n(height)}" fill="{PAPER}"/>',
        _text(MARGIN, MARGIN + 6, title, 14, anchor="start", bold=True),
    ]
    return "\n".join([*head, *body, "</svg>"]) + "\n"


def _n(value: float) -> str:
    """A coordinate with one decimal at most."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def _rect(
    x: float,
    y: float,
    width: float,
    height: float,
    radius: float,
    fill: str,
    stroke: str,
    line: float = 1.0,
) -> str:
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
        f'rx="{_n(radius)}" fill="{fill}" stroke="{stroke}" stroke-width="{_n(line)}"/>'
    )


def _line(x0: float, y0: float, x1: float, y1: float) -> str:
    return (
        f'<path d="M {_n(x0)} {_n(y0)} L {_n(x1)} {_n(y1)}" fill="none" stroke="{LINE}" '
        'stroke-width="1.3" marker-end="url(#tip)"/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    size: float,
    *,
    anchor: str = "middle",
    fill: str = INK,
    bold: bool = False,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" text-anchor="{anchor}" '
        f'fill="{fill}"{weight}>{escape(text)}</text>'
    )


def text_width(text: str, size: float) -> float:
    """About how wide a text is; never less than it will be in the fonts named above."""
    narrow = sum(c in "ijltfrI[]()|.,:'!" for c in text)
    wide = sum(c in "mwMW@%" for c in text)
    return size * (0.62 * (len(text) - narrow - wide) + 0.38 * narrow + 0.95 * wide)
