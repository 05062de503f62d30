"""Layers for a drawing from left to right: every operation has a place of its own.

Nodes stand in columns by their longest path from an input. The label of an edge is an item in
the column before its target, and where an edge passes a column it takes a place there, so that
neither labels nor lines run over a label. Orders that cross less are looked for by barycentres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nasdsl.report.picture import Link, Picture

GAP = 12.0


@dataclass(slots=True)
class Item:
    """Something that takes a place in a column: a box, a label, or a line that passes."""

    kind: str
    column: int
    width: float
    height: float
    #: Index of the box or link it stands for.
    index: int
    x: float = 0.0
    y: float = 0.0
    #: Width of its column: lines bend only between columns.
    span: float = 0.0
    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Layout:
    items: list[Item]
    #: Item of every box by its id.
    box: dict[str, int]
    #: Items along every link, from its source to its target.
    paths: list[list[int]]
    width: float = 0.0
    height: float = 0.0


def layered(
    picture: Picture,
    box_size: Sequence[tuple[float, float]],
    label_size: Sequence[tuple[float, float]],
    *,
    space: float,
) -> Layout:
    """Places for boxes and labels of the given sizes, columns `space` apart."""
    rank = _ranks(picture)
    layout = Layout([], {}, [])
    for i, box in enumerate(picture.boxes):
        layout.box[box.id] = len(layout.items)
        layout.items.append(Item("box", 2 * rank[box.id], *box_size[i], i))
    for i, link in enumerate(picture.links):
        layout.paths.append(_path(layout, link, rank, i, label_size[i]))
    columns = _ordered(layout.items)
    _place(layout, columns, space)
    return layout


def _ranks(picture: Picture) -> dict[str, int]:
    """Longest path from a box without arrivals; links run from earlier to later boxes."""
    rank = {box.id: 0 for box in picture.boxes}
    order = {box.id: i for i, box in enumerate(picture.boxes)}
    for link in sorted(picture.links, key=lambda k: order[k.target]):
        rank[link.target] = max(rank[link.target], rank[link.source] + 1)
    return rank


def _path(
    layout: Layout, link: Link, rank: dict[str, int], index: int, size: tuple[float, float]
) -> list[int]:
    start, end = layout.box[link.source], layout.box[link.target]
    path = [start]
    last = 2 * rank[link.target] - 1
    for column in range(2 * rank[link.source] + 1, last + 1):
        label = column == last and bool(link.label)
        item = Item("label" if label else "pass", column, *(size if label else (0.0, 6.0)), index)
        path.append(len(layout.items))
        layout.items.append(item)
    path.append(end)
    for a, b in zip(path, path[1:], strict=False):
        layout.items[a].after.append(b)
        layout.items[b].before.append(a)
    return path


def _ordered(items: list[Item]) -> list[list[int]]:
    """Items of every column in an order that crosses little."""
    count = 1 + max(i.column for i in items)
    columns: list[list[int]] = [[] for _ in range(count)]
    for number, item in enumerate(items):
        columns[item.column].append(number)
    best, fewest = [list(c) for c in columns], _crossings(items, columns)
    for sweep in range(24):
        forward = sweep % 2 == 0
        for column in columns if forward else reversed(columns):
            place = {n: i / max(1, len(c) - 1) for c in columns for i, n in enumerate(c)}

            def centre(n: int, place: dict[int, float] = place, forward: bool = forward) -> float:
                near = items[n].before if forward else items[n].after
                return sum(place[m] for m in near) / len(near) if near else place[n]

            column.sort(key=centre)
        _transpose(items, columns)
        found = _crossings(items, columns)
        if found < fewest:
            best, fewest = [list(c) for c in columns], found
    return best


def _transpose(items: list[Item], columns: list[list[int]]) -> None:
    """Swap neighbours where that crosses less."""
    for c, column in enumerate(columns):
        around = columns[max(0, c - 1) : c + 2]
        for i in range(len(column) - 1):
            before = _crossings(items, around)
            column[i], column[i + 1] = column[i + 1], column[i]
            if _crossings(items, around) >= before:
                column[i], column[i + 1] = column[i + 1], column[i]


def _crossings(items: list[Item], columns: Sequence[list[int]]) -> int:
    total = 0
    for left, right in zip(columns, columns[1:], strict=False):
        place = {n: i for i, n in enumerate(right)}
        ends = [(i, place[m]) for i, n in enumerate(left) for m in items[n].after if m in place]
        total += sum(
            1 for k, (a, b) in enumerate(ends) for c, d in ends[k + 1 :] if (a - c) * (b - d) < 0
        )
    return total


def _place(layout: Layout, columns: list[list[int]], space: float) -> None:
    items = layout.items
    x = 0.0
    for column in columns:
        width = max((items[n].width for n in column), default=0.0)
        for n in column:
            items[n].x, items[n].span = x + width / 2, width
        x += width + space
    layout.width = x - space
    for column in columns:
        y = 0.0
        for n in column:
            items[n].y = y + items[n].height / 2
            y += items[n].height + GAP
        for n in column:
            items[n].y -= (y - GAP) / 2
    for sweep in range(40):
        for column in columns if sweep % 2 == 0 else list(reversed(columns)):
            wanted = [_wanted(items, n) for n in column]
            _separate(items, column, wanted)
    top = min(i.y - i.height / 2 for i in items)
    for item in items:
        item.y -= top
    layout.height = max(i.y + i.height / 2 for i in items)


def _wanted(items: list[Item], n: int) -> float:
    """The middle of an item's neighbours; lines that pass weigh more, to be straight."""
    near = [*items[n].before, *items[n].after]
    if not near:
        return items[n].y
    weights = [3.0 if items[m].kind == "pass" and items[n].kind == "pass" else 1.0 for m in near]
    return sum(w * items[m].y for w, m in zip(weights, near, strict=True)) / sum(weights)


def _separate(items: list[Item], column: list[int], wanted: list[float]) -> None:
    """Places as near as possible to the wanted ones, in order and apart (isotonic regression)."""
    offset = [0.0]
    for a, b in zip(column, column[1:], strict=False):
        offset.append(offset[-1] + (items[a].height + items[b].height) / 2 + GAP)
    blocks: list[tuple[float, int]] = []
    for want, shift in zip(wanted, offset, strict=True):
        total, count = want - shift, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            before = blocks.pop()
            total, count = total + before[0], count + before[1]
        blocks.append((total, count))
    at = 0
    for total, count in blocks:
        for _ in range(count):
            items[column[at]].y = total / count + offset[at]
            at += 1
