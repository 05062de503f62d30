"""`require` statements of spaces and cells as values of the IR."""

from __future__ import annotations

from typing import Any

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.requirement import (
    MEASURES,
    OF_NETWORK,
    Amount,
    Measure,
    Negation,
    Relation,
    Requirement,
    Test,
)
from nasdsl.lowering.scope import Broken, Context, Env
from nasdsl.lowering.value.evaluation import number
from nasdsl.source import Source, Span
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value
from nasdsl.syntax.parser import parse


def requirement(
    ctx: Context, node: ast.Require, env: Env, table: str | None = None
) -> Requirement | None:
    """A statement as a value; None where it is wrong, with its diagnostic recorded."""
    if not measured(ctx.diags, node):
        return None
    try:
        test = _test(ctx, node.value, env, table)
    except Broken:
        return None
    return Requirement(text=format_value(node.value), test=test, table=table)


def _test(ctx: Context, node: ast.Value, env: Env, table: str | None) -> Test:
    match node:
        case ast.Unary(op="not"):
            return Negation(inner=_test(ctx, node.operand, env, table))
        case ast.Binary(op="and" | "or"):
            left, right = (_test(ctx, part, env, table) for part in (node.left, node.right))
            return Relation(op=node.op, left=left, right=right)
        case ast.Binary(op="<=" | "<" | ">=" | ">" | "==" | "!="):
            left, right = (_amount(ctx, part, env, table) for part in (node.left, node.right))
            return Relation(op=node.op, left=left, right=right)
        case ast.Name() if node.text == "connected":
            return _measure(ctx, node, None, table)
        case _:
            raise ctx.fail(
                "E218",
                node.span,
                "`require` takes a condition",
                "a comparison, `params <= 1M`; or `connected`",
            )


def _amount(ctx: Context, node: ast.Value, env: Env, table: str | None) -> Test:
    match node:
        case ast.Name() if node.text in MEASURES and node.text not in ("connected", "count"):
            return _measure(ctx, node, None, table)
        case ast.Call() if isinstance(node.func, ast.Name) and node.func.text == "count":
            if len(node.args) != 1 or node.args[0].name is not None:
                raise ctx.fail("E112", node.span, "`count` takes one operation: `count(none)`")
            return _measure(ctx, node.func, format_value(node.args[0].value), table)
        case ast.Binary(op="+" | "-" | "*" | "/" | "//") if _measures_something(node):
            left, right = (_amount(ctx, part, env, table) for part in (node.left, node.right))
            return Relation(op=node.op, left=left, right=right)
        case _:
            return Amount(value=number(ctx, node, env, None))


def _measures_something(node: ast.Value) -> bool:
    match node:
        case ast.Binary():
            return _measures_something(node.left) or _measures_something(node.right)
        case ast.Call() if isinstance(node.func, ast.Name):
            return node.func.text in MEASURES
        case ast.Name():
            return node.text in MEASURES
        case _:
            return False


def _measure(ctx: Context, node: ast.Name, label: str | None, table: str | None) -> Measure:
    if table is not None and node.text in OF_NETWORK:
        raise ctx.fail(
            "E506",
            node.span,
            f"`{node.text}` is a measure of networks, not of a cell",
            "write it outside the cell",
        )
    return Measure(name=node.text, label=label)


def read(text: str, diags: Diagnostics) -> ast.Require | None:
    """The statement of a text like `params <= 1M`, given from outside a file.

    None where it is none, with diagnostics recorded.
    """
    head = "nas 1\n\nspace s {\n  require "
    source = Source.of("require", f"{head}{text}\n}}\n")
    parsed = parse(source, diags)
    if diags.errors or parsed is None:
        return None
    spaces = [s for s in parsed.module.items if isinstance(s, ast.Space)]
    body = [s for space in spaces for s in space.body]
    if len(parsed.module.items) != 1 or len(body) != 1 or not isinstance(body[0], ast.Require):
        at = len(head)
        diags.add("E218", Span(source, at, at + max(1, len(text))), "`require` takes one condition")
        return None
    return body[0]


# ---- names


def measured(diags: Diagnostics, node: ast.Require) -> bool:
    """Whether a `require` names only measures there are; E506 where not."""
    for name in named(node.value):
        if name.text not in MEASURES:
            diags.add(
                "E506",
                name.span,
                f"unknown measure `{name.text}`",
                help=did_you_mean(name.text, MEASURES),
            )
            return False
    return True


def named(node: Any) -> list[ast.Name]:
    """Names that stand where a measure does."""
    match node:
        case ast.Binary(op="and" | "or"):
            return named(node.left) + named(node.right)
        case ast.Binary():
            return named(node.left)
        case ast.Unary():
            return named(node.operand)
        case ast.Call() if isinstance(node.func, ast.Name):
            return [node.func]
        case ast.Name():
            return [node]
        case _:
            return []
