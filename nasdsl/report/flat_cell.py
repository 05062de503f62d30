"""A cell with the statements of all it extends, as `.nas` text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nasdsl.lowering.cell.definition import find
from nasdsl.lowering.scope import Closure, Env
from nasdsl.report.inline import Inliner, attr, braces, end, local
from nasdsl.source import Source, Span
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value


def cell_text(name: str, key: str, env: Env, inliner: Inliner) -> str:
    """A cell with the statements of all it extends, the oldest first."""
    ctx = inliner.ctx
    assert ctx is not None
    place = Source.of("resolved", "")
    found = find(ctx, key, env, Span(place, 0, 0))
    own = [s.name.text for s, _, _ in found.statements if isinstance(s, ast.Let)]
    own += found.params
    # What a child says of a parameter is already in its value.
    statements = [
        (s, local(e, own), layer)
        for s, e, layer in found.statements
        if not (isinstance(s, ast.Attr) and s.target.text in found.params)
    ]
    params = ", ".join(
        f"{n} = {format_value(inliner(v.node, v.env))}"
        for n, v in found.params.items()
        if isinstance(v, Closure)
    )
    header = f"cell {name}({params})" if params else f"cell {name}"
    return braces(header, [*_cell_lines(statements, inliner)])


def _cell_lines(statements: list[tuple[ast.CellStmt, Env, int]], inliner: Inliner) -> Iterable[str]:
    last: dict[tuple[str, str], int] = {}
    first: dict[str, int] = {}
    for i, (statement, _, _) in enumerate(statements):
        last[_key(statement, i)] = i
        if isinstance(statement, ast.NodeDef):
            first.setdefault(statement.name.text, i)
    heads = [s for s in statements if isinstance(s[0], ast.Let | ast.Attr)]
    for statement, env, _ in heads:
        if statements[last[_key(statement, 0)]][0] is statement:
            yield _cell_statement(statement, env, inliner)
    for i, (statement, env, _) in enumerate(statements):
        match statement:
            case ast.Let() | ast.Attr():
                continue
            case ast.NodeDef():
                # A node that is written again keeps its place, and its count where none is given.
                if first[statement.name.text] == i:
                    yield _node(statement.name.text, statements, inliner)
            case _ if last[_key(statement, i)] == i:
                yield _cell_statement(statement, env, inliner)


def _key(statement: ast.CellStmt, number: int) -> tuple[str, str]:
    """What a later statement replaces as a whole; edges, keeps and picks add up."""
    match statement:
        case ast.Let():
            return ("let", statement.name.text)
        case ast.Attr():
            return ("attr", statement.target.text)
        case ast.In() | ast.Out():
            return (type(statement).__name__, "")
        case _:
            return ("", str(number))


def _node(name: str, statements: list[tuple[ast.CellStmt, Env, int]], inliner: Inliner) -> str:
    count = value = ""
    for statement, env, _ in statements:
        if isinstance(statement, ast.NodeDef) and statement.name.text == name:
            if statement.count is not None:
                count = f"[{format_value(inliner(statement.count, env))}]"
            value = "" if statement.value is None else format_value(inliner(statement.value, env))
    return f"node {name}{count}" + (f" : {value}" if value else "")


def _cell_statement(statement: ast.CellStmt, env: Env, inliner: Inliner) -> str:
    match statement:
        case ast.Let():
            return f"let {statement.name.text} = {format_value(inliner(statement.value, env))}"
        case ast.Attr():
            return attr(statement, env, inliner)
        case ast.In():
            inputs = []
            for entry in statement.inputs:
                prepare = inliner.optional(entry.prepare, env)
                said = f" : {format_value(prepare)}" if prepare is not None else ""
                inputs.append(f"{entry.name.text}{said}")
            return f"in {', '.join(inputs)}"
        case ast.Edge():
            op = inliner.optional(statement.op, env)
            said = f" : {format_value(op)}" if op is not None else ""
            sources = _ends(statement.sources, env, inliner)
            return f"edge {sources} -> {_ends(statement.targets, env, inliner)}{said}"
        case ast.Keep():
            text = f"keep {format_value(inliner(statement.count, env))} per "
            text += _ends(statement.per, env, inliner)
            if statement.exclude is not None:
                text += f" except {format_value(inliner(statement.exclude, env))}"
            return text
        case ast.Pick():
            count = format_value(inliner(statement.count, env))
            return f"pick {count} per {_ends(statement.per, env, inliner)}"
        case ast.Out():
            return f"out {format_value(inliner(statement.value, env))}"
        case ast.Require():
            return f"require {format_value(statement.value)}"
        case _:
            raise TypeError(type(statement).__name__)


def _ends(ends: Sequence[ast.End] | None, env: Env, inliner: Inliner) -> str:
    if ends is None:
        return "node"
    shown = [_end(end(inliner, e, env)) for e in ends]
    return shown[0] if len(shown) == 1 else "{" + ", ".join(shown) + "}"


def _end(node: ast.End) -> str:
    match node.index:
        case None:
            return node.name.text
        case ast.Earlier():
            return f"{node.name.text}[<]"
        case ast.Range():
            low, high = format_value(node.index.low), format_value(node.index.high)
            return f"{node.name.text}[{low}..{high}]"
        case _:
            return f"{node.name.text}[{format_value(node.index)}]"
