"""The entries of a suite's `report`: known ones, of one measure, summed up in one way."""

from __future__ import annotations

from typing import Any

from nasdsl.ir.config import Component, Word
from nasdsl.lowering.config import components, places
from nasdsl.lowering.config.context import UNKNOWN, Context, Scope
from nasdsl.lowering.scope import Broken
from nasdsl.source import Span
from nasdsl.syntax import ast


def entries(ctx: Context, value: Any, node: ast.Value, scope: Scope, slot: str) -> Any:
    """The entries as components with their defaults. Raises Broken."""
    if value is UNKNOWN or value is None:
        return value
    if not isinstance(value, tuple):
        raise ctx.fail("E304", node.span, f"`{slot}` is a list: `[mean(test.accuracy), friedman]`")
    found = []
    nodes = node.items if isinstance(node, ast.ListOf) else ()
    aligned = len(nodes) == len(value) and not any(isinstance(n, ast.Range) for n in nodes)
    for i, each in enumerate(value):
        part: Any = nodes[i] if aligned else node
        try:
            made = components.component(ctx, "report", each, part, scope, slot)
        except Broken:  # said; the other entries are looked at all the same
            continue
        if isinstance(made, Component):
            found.append(made)
    if len(found) < len(value):
        raise Broken
    _one_measure(ctx, found, node)
    _one_summary(ctx, found, node)
    return tuple(found)


def _one_measure(ctx: Context, found: list[Component], node: ast.Value) -> None:
    named = [(c, str(m)) for c in found if isinstance(m := c.get("measure"), Word)]
    for component, measure in named[1:]:
        if measure != named[0][1]:
            raise ctx.fail(
                "E304",
                _place(component, node),
                f"a suite reports one measure; `{measure}` is a second beside `{named[0][1]}`",
                f"`nasdsl suite report FOLDER --measure {measure}` shows it of the same runs",
            )


def _one_summary(ctx: Context, found: list[Component], node: ast.Value) -> None:
    """Means and bests are not compared in one report: a best of many is higher by luck alone."""
    kinds = {_summary(c): c for c in reversed(found)}
    if "mean" in kinds and "best" in kinds:
        raise ctx.fail(
            "E304",
            _place(kinds["best"], node),
            "`mean` and `best` are two ways to sum up settings; a report compares by one",
            "`nasdsl suite report FOLDER --best` shows the other of the same runs",
        )


def _summary(component: Component) -> str:
    match component.name:
        case "mean" | "best":
            return component.name
        case "rank":
            return str(component.get("of"))
        case _:
            return ""


def _place(component: Component, node: ast.Value) -> Span:
    return places.head(component.span, component.name) if component.span else node.span
