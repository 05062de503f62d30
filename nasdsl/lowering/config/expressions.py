"""The value of an expression of a block."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from nasdsl.ir.config import Component, Data, Pipeline, Total, Word
from nasdsl.lowering.config import calls, names, orders, places
from nasdsl.lowering.config.context import UNKNOWN, Context, Scope, is_number
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value


def evaluated(ctx: Context, node: ast.Value, scope: Scope) -> Any:
    match node:
        case ast.Number() | ast.String() | ast.Boolean():
            return node.value
        case ast.Name():
            return names.name(ctx, node, scope)
        case ast.Unary(op="-"):
            operand = ctx.value(node.operand, scope)
            if isinstance(operand, Word | Component):
                return Word(f"-{operand}")
            return operand if operand is UNKNOWN else -ctx.number(node.operand, scope)
        case ast.Unary(op="not"):
            operand = ctx.value(node.operand, scope)
            return operand if operand is UNKNOWN else not operand
        case ast.Unary():
            raise ctx.fail("E501", node.span, f"`{node.op}` makes a decision; only spaces decide")
        case ast.Binary():
            return _binary(ctx, node, scope)
        case ast.If():
            condition = ctx.value(node.condition, scope)
            if condition is UNKNOWN:
                first = ctx.value(node.then, scope)
                ctx.value(node.otherwise, scope)
                return first
            if not isinstance(condition, bool):
                raise ctx.fail("E218", node.condition.span, "a condition is wanted here")
            return ctx.value(node.then if condition else node.otherwise, scope)
        case ast.Call():
            return calls.call(ctx, node, scope)
        case ast.Subscript():
            return _subscript(ctx, node, scope)
        case ast.ListOf():
            return _list(ctx, node, scope)
        case ast.SetOf():
            for item in node.items:
                if isinstance(item, ast.MapOf):
                    raise ctx.fail(
                        "E027", item.span, "a set holds values, a map `key: value` pairs"
                    )
            return frozenset(
                i.text if isinstance(i, ast.Name) else format_value(i) for i in node.items
            )
        case ast.MapOf():
            return {
                (k.text if isinstance(k, ast.Name) else format_value(k)): ctx.value(v, scope)
                for k, v in node.items
            }
        case _:
            raise ctx.fail("E501", node.span, "only spaces decide")


def _binary(ctx: Context, node: ast.Binary, scope: Scope) -> Any:
    left = ctx.value(node.left, scope)
    right = ctx.value(node.right, scope)
    if node.op == ">>":
        parts = (*_parts(left, Pipeline), *_parts(right, Pipeline))
        return Pipeline(tuple(p for p in parts if p is not UNKNOWN))
    if left is UNKNOWN or right is UNKNOWN:
        return UNKNOWN
    if node.op in ("==", "!="):
        return (left == right) == (node.op == "==")
    if node.op in ("and", "or"):
        return (left and right) if node.op == "and" else (left or right)
    if node.op == "+" and isinstance(left, tuple) and isinstance(right, tuple):
        return left + right
    if node.op == "+" and isinstance(left, Component | Total | Word):
        return Total((*_parts(left, Total), *_parts(right, Total)))
    if not (is_number(left) and is_number(right)):
        raise ctx.fail("E107", node.op_span, f"`{node.op}` does not join these values")
    match node.op:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/" | "//":
            if right == 0:
                raise ctx.fail("E217", node.op_span, "division by zero")
            return left / right if node.op == "/" else Fraction(left // right)
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case _:
            return left >= right


def _list(ctx: Context, node: ast.ListOf, scope: Scope) -> tuple[Any, ...]:
    found: list[Any] = []
    for item in node.items:
        if isinstance(item, ast.Range):
            low, high = ctx.number(item.low, scope), ctx.number(item.high, scope)
            if low.denominator != 1 or high.denominator != 1 or high - low > 100_000:
                raise ctx.fail("E404", item.span, "a range counts whole numbers")
            found.extend(Fraction(i) for i in range(int(low), int(high) + 1))
        else:
            value = ctx.value(item, scope)
            found.extend(value) if _is_grid(item) else found.append(value)
    return tuple(found)


def _subscript(ctx: Context, node: ast.Subscript, scope: Scope) -> Data:
    value = ctx.value(node.base, scope)
    if not isinstance(value, Data) and not (isinstance(value, Word) and value.text == "data"):
        raise ctx.fail("E213", node.base.span, "only `data` has ranges here")
    base = orders.whole(ctx, node.base, scope, node)
    if not isinstance(node.index, ast.Range):
        raise ctx.fail("E404", node.span, "a range is wanted: `data[0%..50%]`")
    low, high = ctx.number(node.index.low, scope), ctx.number(node.index.high, scope)
    # A computed bound that is not whole is a share as well: `order[share * weights..share]`.
    shares = 0 <= low <= high <= 1 and (low.denominator != 1 or high.denominator != 1)
    percent = places.percent(node.index.low) or places.percent(node.index.high)
    indices = not (percent or shares)
    if not indices and not 0 <= low <= high <= 1:
        raise ctx.fail("E404", node.index.span, "a range lies between 0% and 100% and runs upwards")
    if indices and (low.denominator != 1 or high.denominator != 1 or low < 0 or high < low):
        raise ctx.fail("E404", node.index.span, "indices are whole, from 0, and run upwards")
    return replace(base, low=low, high=high, indices=indices)


def _parts(value: Any, kind: type[Any]) -> tuple[Any, ...]:
    return value.parts if isinstance(value, kind) else (value,)


def _is_grid(node: Any) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.text == "grid"
    )
