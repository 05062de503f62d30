"""Where something stands in a value: names, calls, arguments, ends of schedules."""

from __future__ import annotations

from typing import Any

from nasdsl.source import Span
from nasdsl.syntax import ast


def percent(node: ast.Value) -> bool:
    return isinstance(node, ast.Number) and (node.text.endswith("%") or node.value.denominator != 1)


def names(node: Any) -> list[ast.Name]:
    """Every name in a value."""
    match node:
        case ast.Name():
            return [node]
        case ast.Unary():
            return names(node.operand)
        case ast.Binary():
            return names(node.left) + names(node.right)
        case ast.If():
            return names(node.then) + names(node.condition) + names(node.otherwise)
        case ast.Call():
            return [n for a in node.args for n in names(a.value)]
        case ast.Subscript():
            return names(node.base)
        case ast.ListOf() | ast.SetOf():
            return [n for i in node.items for n in names(i)]
        case ast.MapOf():
            return [n for _, v in node.items for n in names(v)]
        case _:
            return []


def entry(node: ast.Value, name: str) -> Span:
    """Where a list names something."""
    return next((n.span for n in _all_names(node) if n.text == name), node.span)


def _all_names(node: Any) -> list[ast.Name]:
    if isinstance(node, ast.Call):
        return [*_all_names(node.func), *names(node)]
    if isinstance(node, ast.ListOf):
        return [n for i in node.items for n in _all_names(i)]
    if isinstance(node, ast.Binary):
        return [*_all_names(node.left), *_all_names(node.right)]
    return names(node)


def head(span: Span, name: str) -> Span:
    """The name at the beginning of a call."""
    return (
        Span(span.source, span.start, span.start + len(name))
        if span.text.startswith(name)
        else span
    )


def _find_call(node: Any, name: str) -> ast.Call | None:
    match node:
        case ast.Call():
            if isinstance(node.func, ast.Name) and node.func.text == name:
                return node
            for arg in node.args:
                found = _find_call(arg.value, name)
                if found is not None:
                    return found
        case ast.Binary():
            return _find_call(node.left, name) or _find_call(node.right, name)
        case ast.If():
            return _find_call(node.then, name) or _find_call(node.otherwise, name)
    return None


def arguments(node: Any, name: str) -> dict[str, Span]:
    call = _find_call(node, name)
    if call is None:
        return {}
    return {arg.name or str(i): arg.span for i, arg in enumerate(call.args)}


def argument_node(node: Any, name: str, key: str) -> ast.Value | None:
    call = _find_call(node, name)
    if call is None:
        return None
    for i, arg in enumerate(call.args):
        if (arg.name or str(i)) == key:
            return arg.value
    return None


def end_of(node: Any) -> Span | None:
    """The place of b in `f(a -> b)`."""
    match node:
        case ast.Call():
            for arg in node.args:
                if arg.to is not None:
                    return arg.to.span
                found = end_of(arg.value)
                if found is not None:
                    return found
        case ast.MapOf():
            for _, value in reversed(node.items):
                found = end_of(value)
                if found is not None:
                    return found
    return None
