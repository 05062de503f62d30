"""A flat space as `.nas` text: parameters with their values, named pieces, network, target."""

from __future__ import annotations

from collections.abc import Callable

from nasdsl.lowering.blocks import Block, Piece, group
from nasdsl.lowering.scope import Context, Env, block_env, piece_value
from nasdsl.report.flat_cell import cell_text
from nasdsl.report.inline import Inliner, attr, braces, local
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value

#: Writes an op set.
Ops = Callable[[ast.Ops, str, Env, Context | None, Inliner], str]


def space_text(block: Block, inliner: Inliner, ops: Ops) -> str:
    params = []
    for name, piece in block.params.items():
        chosen = block.get("set", name) or piece
        value = piece_value(chosen)
        if value is None:
            params.append(name)
        else:
            env = block_env(block, chosen)
            # The value of a set, or of data, is shown by its name.
            params.append(f"{name} = {format_value(inliner(value, env, pin=True))}")
    head = f"space {block.name}" + (f"({', '.join(params)})" if params else "")
    lines: list[str] = []
    for piece in block.pieces.values():
        lines += _piece(piece, block, inliner, ops)
    lines += _network(block, inliner)
    target = block.get("target")
    if target is not None and isinstance(target.node, ast.Target):
        env = Env(target.origin.module, block)
        lines.append(braces("target", [attr(a, env, inliner) for a in target.node.attrs]))
    lines += requires(block)
    return braces(head, lines)


def requires(block: Block) -> list[str]:
    return [
        f"require {format_value(p.node.value)}"
        for p in block.layers
        if isinstance(p.node, ast.Require)
    ]


def _piece(piece: Piece, block: Block, inliner: Inliner, ops: Ops) -> list[str]:
    """A named piece of a space: let, op, op set, cell, attribute."""
    env = block_env(block, piece)
    node = piece.node
    match node:
        case ast.Let():
            return [f"let {node.name.text} = {format_value(inliner(node.value, env))}"]
        case ast.Op():
            return [op_text(node, node.name.text, env, inliner)]
        case ast.Ops():
            return ["", ops(node, node.name.text, env, inliner.ctx, inliner), ""]
        case ast.Cell():
            name = node.name.text
            return ["", cell_text(name, name, Env(block.module, block), inliner), ""]
        case ast.Attr() if piece.key == ("attr", "genotype"):
            # The name of a format, whatever else may be called so.
            return [f"genotype = {format_value(node.value)}"]
        case ast.Attr() if piece.key[0] == "attr":
            return [attr(node, env, inliner)]
        case _:
            return []


def op_text(node: ast.Op, name: str, env: Env, inliner: Inliner) -> str:
    inner = local(env, [p.name.text for p in node.params])
    params = []
    for param in node.params:
        if param.default is None:
            params.append(param.name.text)
        else:
            params.append(f"{param.name.text} = {format_value(inliner(param.default, inner))}")
    head = f"op {name}" + (f"({', '.join(params)})" if params else "")
    return f"{head} = {format_value(inliner(node.value, inner))}"


def _network(block: Block, inliner: Inliner) -> list[str]:
    lines = [""]
    given = block.get("input")
    if given is not None and isinstance(given.node, ast.Input):
        env = Env(given.origin.module, block)
        lines.append(f"input {format_value(inliner(given.node.value, env))}")
    for part in ("stems", "body", "heads"):
        piece = block.pieces.get((part,))
        env = Env(piece.origin.module if piece else block.module, block)
        for node in group(block, part):
            lines += _statement(node, env, inliner)
    return lines


def _statement(node: ast.Node, env: Env, inliner: Inliner) -> list[str]:
    match node:
        case ast.Stem():
            return [f"stem {format_value(inliner(node.value, env))}"]
        case ast.Stage():
            # A stage is called by what stands in it.
            text = f"stage {format_value(inliner(node.value, env, pin=True))}"
            if node.attrs:
                text += f" {{ {'  '.join(attr(a, env, inliner) for a in node.attrs)} }}"
            return [text + _at(node.at, env, inliner)]
        case ast.Head():
            value = format_value(inliner(node.value, env))
            return [f"head {value}{_at(node.at, env, inliner)}"]
        case ast.Repeat():
            lines = []
            inner = env
            for statement in node.body:
                if isinstance(statement, ast.Let):
                    value = format_value(inliner(statement.value, inner))
                    lines.append(f"let {statement.name.text} = {value}")
                    inner = local(inner, [statement.name.text])
                else:
                    lines += _statement(statement, inner, inliner)
            return [braces(f"repeat {format_value(inliner(node.count, env))}", lines)]
        case _:
            return []


def _at(node: ast.Value | None, env: Env, inliner: Inliner) -> str:
    return "" if node is None else f" at {format_value(inliner(node, env))}"
