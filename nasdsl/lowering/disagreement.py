"""Where parents disagree: what a child writes itself, and what it should write."""

from __future__ import annotations

from collections.abc import Iterable

from nasdsl.lowering.blocks import Block, Piece
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value


def related(a: Block, b: Block) -> bool:
    """Whether one of two blocks extends the other, or they are one."""
    return a is b or id(a) in b.ancestors or id(b) in a.ancestors


def written_keys(node: ast.Space | ast.Config) -> set[tuple[str, ...]]:
    """Keys that a block writes itself."""
    keys: set[tuple[str, ...]] = set()
    for statement in node.body:
        match statement:
            case ast.Attr():
                keys.add(("attr", *statement.target.parts))
                keys.add(("set", *statement.target.parts))
            case ast.Let() | ast.Op() | ast.Ops() | ast.Cell() | ast.Phase():
                keys.add((type(statement).__name__.lower(), statement.name.text))
            case ast.Target():
                keys.add(("target",))
            case ast.Input():
                keys.add(("input",))
            case ast.Stem():
                keys.add(("stems",))
            case ast.Head():
                keys.add(("heads",))
            case ast.Stage() | ast.Repeat():
                keys.add(("body",))
    return keys


def cell_of(node: ast.Space | ast.Config, name: str) -> ast.Cell | None:
    """What a block itself says of a cell."""
    found = (s for s in node.body if isinstance(s, ast.Cell) and s.name.text == name)
    return next(found, None)


def source_of(piece: Piece) -> str:
    """`` `random` robust.nas:6 ``: what a piece says and where."""
    value = piece.node.value if isinstance(piece.node, ast.Attr | ast.Let) else None
    if isinstance(value, ast.Call):
        value = value.func
    text = format_value(value) if value is not None else piece.origin.name
    shown = text if len(text) <= 24 else piece.origin.name
    return f"`{shown}` {piece.span.source.name.rpartition('/')[2]}:{piece.span.line}"


def what_to_write(key: tuple[str, ...], label: str) -> str:
    """What to write where parents disagree."""
    match key[0]:
        case "attr" | "set":
            return f"say `{label} = …`"
        case "let" | "op":
            return f"say `{key[0]} {label} = …`"
        case "cell" | "ops" | "phase":
            return f"write `{key[0]} {label} {{ … }}`"
        case "target":
            return "write `target { … }`"
        case _:
            return f"write the {label}"


def covers(written: Iterable[tuple[str, ...]], key: tuple[str, ...]) -> bool:
    """Whether a key, or a whole that it is a part of, is written."""
    return any(key[: len(w)] == w for w in written)
