"""A cell that several parents of a space change: their changes side by side, or a disagreement.

The units of a cell are its edges, nodes, `in`, `out`, rules per node, names and attributes. Two
parents may change different units of one cell; where both change one, the child has to write it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nasdsl.lowering.blocks import Piece
from nasdsl.syntax import ast

#: Kind and what it concerns; ends are a name, or a name and a number in brackets.
Unit = tuple[str, ...]


def merge(pieces: list[Piece], child: ast.Cell | None) -> Piece | tuple[Piece, Piece]:
    """The cell with the changes of all `pieces` (one per parent); else two that disagree."""
    found = pieces[0]
    for piece in pieces[1:]:
        base = {id(p.node) for p in _chain(found)}
        own = [p for p in _chain(piece) if id(p.node) not in base]
        shared = {id(p.node) for p in _chain(piece)}
        other = [p for p in _chain(found) if id(p.node) not in shared]
        for mine in own:
            for theirs in other:
                if _disagree(mine.node, theirs.node, child):
                    return theirs, mine
        for mine in own:
            found = replace(mine, previous=found)
    return found


def _chain(piece: Piece | None) -> list[Piece]:
    """What a piece is made of, oldest first."""
    found: list[Piece] = []
    while piece is not None:
        found.insert(0, piece)
        piece = piece.previous
    return found


def _disagree(a: ast.Node, b: ast.Node, child: ast.Cell | None) -> bool:
    written = set(_units(child)) if child is not None else set()
    return any(
        _meet(u, v) and not any(_contains(w, u) and _contains(w, v) for w in written)
        for u in _units(a)
        for v in _units(b)
    )


def _units(cell: ast.Node) -> Iterator[Unit]:
    if not isinstance(cell, ast.Cell):
        return
    for parent in cell.parents:
        yield ("extends", parent.text)
    for param in cell.params:
        yield ("name", param.name.text)
    for statement in cell.body:
        match statement:
            case ast.Edge():
                for source in statement.sources:
                    for target in statement.targets:
                        yield ("edge", _end(source), _end(target))
            case ast.Keep() | ast.Pick():
                if statement.per is None:
                    yield ("rule", "*")
                for end in statement.per or ():
                    yield ("rule", _end(end))
            case ast.NodeDef():
                yield ("node", statement.name.text)
            case ast.Let():
                yield ("name", statement.name.text)
            case ast.Attr():
                yield ("name", statement.target.text)
            case ast.In():
                yield ("in",)
            case ast.Out():
                yield ("out",)


def _end(end: ast.End) -> str:
    """`x`, or `x[2]`; an index that is no plain number speaks of the whole array."""
    if isinstance(end.index, ast.Number):
        return f"{end.name.text}[{end.index.text}]"
    return end.name.text


def _meet(a: Unit, b: Unit) -> bool:
    return len(a) == len(b) and a[0] == b[0] and all(map(_touch, a[1:], b[1:]))


def _touch(a: str, b: str) -> bool:
    """Whether two ends may name one node."""
    return a == b or "*" in (a, b) or _within(a, b) or _within(b, a)


def _contains(whole: Unit, part: Unit) -> bool:
    return (
        len(whole) == len(part)
        and whole[0] == part[0]
        and all(w in (p, "*") or _within(p, w) for w, p in zip(whole[1:], part[1:], strict=True))
    )


def _within(one: str, array: str) -> bool:
    return one.startswith(f"{array}[")
