"""The value of a slot, by the type of the slot."""

from __future__ import annotations

from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.config import Component, Data, Pipeline, Ref, Steps, Total, Word
from nasdsl.ir.schema import MEASURED, PRECISIONS, SLOTS, Param
from nasdsl.ir.shape import Shape
from nasdsl.lowering.config import components, places, reports
from nasdsl.lowering.config.context import UNKNOWN, Context, Scope, is_number
from nasdsl.lowering.elsewhere import bundled_hint
from nasdsl.lowering.scope import Broken
from nasdsl.source import Span
from nasdsl.syntax import ast


def slot(ctx: Context, name: str, type_: str, node: ast.Value, scope: Scope) -> Any:
    """The value of a slot, checked. Raises Broken."""
    _no_test(ctx, node, scope, name)
    kind, _, of = type_.partition(":")
    if isinstance(node, ast.Name) and node.text == "none":
        return None
    family = "augment" if kind == "augment" else of or kind
    before, ctx.legal = ctx.legal, SLOTS.get(family, {})
    try:
        value = ctx.value(node, scope)
    finally:
        ctx.legal = before
    match kind:
        case "component":
            return components.component(ctx, of, value, node, scope, name)
        case "augment":
            return _pipeline(ctx, value, node, scope)
        case "total":
            parts = value.parts if isinstance(value, Total) else (value,)
            made = tuple(components.component(ctx, of, p, node, scope, name) for p in parts)
            return made[0] if len(made) == 1 else Total(made)
        case "list":
            return reports.entries(ctx, value, node, scope, name)
        case "prune":
            return _prune(ctx, value, node, scope)
        case "refs":
            return _refs(ctx, of, value, node, scope)
        case "shape":
            if value is not UNKNOWN and not isinstance(value, Shape):
                raise ctx.fail("E304", node.span, f"`{name}` is a shape: `image(3, 32, 32)`")
            return value
        case "range":
            if isinstance(value, Word) and value.text == "data":
                return Data()
            if not isinstance(value, Data):
                raise ctx.fail("E304", node.span, f"`{name}` is a range: `data[0%..50%]`")
            return value
        case "choose":
            return _choose(ctx, value, node)
        case "seeds":
            if not isinstance(value, tuple) or not all(
                is_number(v) and v.denominator == 1 and v >= 0 for v in value
            ):
                raise ctx.fail("E304", node.span, f"`{name}` is a list of whole numbers: `[0..2]`")
            return value
        case "precision":
            if value is UNKNOWN or (isinstance(value, Word) and value.text in PRECISIONS):
                return value
            raise ctx.fail(
                "E304",
                node.span,
                f"`precision` is {', '.join(f'`{p}`' for p in PRECISIONS[:-1])} or `{PRECISIONS[-1]}`",
                did_you_mean(str(value), PRECISIONS),
            )
        case "any":
            return value
        case _:
            param = Param(name, kind)
            return components.check(ctx, param, value, node, name, scope)


def _choose(ctx: Context, value: Any, node: ast.Value) -> Any:
    """`all`, `min(measurement)` or `max(measurement)`."""
    if value == Word("all"):
        return value
    if isinstance(value, Component) and value.name in ("min", "max") and len(value.args) == 1:
        measured = str(value.args[0][1])
        if measured in MEASURED:
            return value
        raise ctx.fail(
            "E304",
            node.span,
            f"`{measured}` is not measured",
            did_you_mean(measured, MEASURED),
        )
    raise ctx.fail("E304", node.span, "`choose` is `all`, `min(…)` or `max(…)`")


def _no_test(ctx: Context, node: ast.Value, scope: Scope, slot: str) -> None:
    """Test data may be named only in a suite's report."""
    if scope.block.kind == "suite" and slot == "report":
        return
    for name in places.names(node):
        if name.parts[0] == "test":
            raise ctx.fail(
                "E401",
                Span(name.span.source, name.span.start, name.span.start + 4),
                "architectures may not be chosen on test data",
                "`search.valid.loss`; `report` may use `test`",
            )


def _pipeline(ctx: Context, value: Any, node: ast.Value, scope: Scope) -> Any:
    parts = value.parts if isinstance(value, Pipeline) else (value,)
    made: list[Any] = []
    for part in parts:
        if part is UNKNOWN or part is None:
            continue
        if isinstance(part, Pipeline):
            made.extend(part.parts)
        else:
            made.append(components.component(ctx, "augment", part, node, scope, "augment"))
    return Pipeline(tuple(made))


def _prune(ctx: Context, value: Any, node: ast.Value, scope: Scope) -> Any:
    if isinstance(value, Steps):
        entries = tuple(
            (t, components.component(ctx, "prune", v, node, scope, "prune"))
            for t, v in value.entries
        )
        return Steps(entries, value.span)
    made = components.component(ctx, "prune", value, node, scope, "prune")
    if isinstance(made, Component) and made.name == "top" and made.get("n") == 0:
        raise ctx.fail("E334", node.span, "`top(0)` leaves nothing; at least one option stays")
    return made


def _refs(ctx: Context, kind: str, value: Any, node: ast.Value, scope: Scope) -> tuple[Any, ...]:
    values = value if isinstance(value, tuple) else (value,)
    broken = False
    for found in values:
        if isinstance(found, Ref) and found.kind == kind or found is UNKNOWN:
            continue
        broken = True
        if isinstance(found, Ref):
            where = places.entry(node, found.name)
            ctx.fail("E406", where, f"`{found.name}` is a {found.kind}; a {kind} is wanted here")
        elif isinstance(found, Word | Component):
            name = found.text if isinstance(found, Word) else found.name
            known = [n for n, d in scope.module.names.items() if d.kind == kind]
            ctx.fail(
                "E101",
                places.entry(node, name),
                f"unknown {kind} `{name}`",
                bundled_hint(name, (kind,)) or did_you_mean(name, known),
            )
        else:
            ctx.fail("E406", node.span, f"a list of {kind}s is wanted here")
    if broken:
        raise Broken
    return tuple(values)
