"""Components of a slot: their arguments, defaults, and the types of their parameters."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.config import Component, Schedule, Steps, Time, Word
from nasdsl.ir.schema import REPORTED, REQUIRED, SLOTS, Param, Spec
from nasdsl.lowering.config import places, plugged
from nasdsl.lowering.config.context import UNKNOWN, Context, Scope, is_number, time_of
from nasdsl.lowering.scope import Broken
from nasdsl.lowering.value.arithmetic import HUGE, MANY, division
from nasdsl.source import Span
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value


def component(ctx: Context, slot: str, value: Any, node: ast.Value, scope: Scope, name: str) -> Any:
    """A component of a slot with its defaults. Raises Broken."""
    if value is UNKNOWN or value is None:
        return value
    if isinstance(value, Word):
        value = Component(value.text, (), node.span)
    if not isinstance(value, Component):
        raise ctx.fail(
            "E304", node.span, f"`{name}` takes a component: {', '.join(list(SLOTS[slot])[:6])}"
        )
    span = value.span or node.span
    if "." in value.name:
        found = plugged.extension(ctx, slot, value.name, places.head(span, value.name), name)
        made = filled(ctx, found.spec, value, node, scope, span) if found.checks else value
        return Component(made.name, made.args, span, found)
    spec = SLOTS[slot].get(value.name)
    if spec is None:
        other = next((s for s, table in SLOTS.items() if value.name in table), None)
        if other is not None:
            raise ctx.fail(
                "E306",
                places.head(span, value.name),
                f"`{value.name}` belongs to `{other}`, not to `{name}`",
                did_you_mean(value.name, SLOTS[slot]),
            )
        near = did_you_mean(value.name, SLOTS[slot], limit=0)
        legal = f"{name}s: {', '.join(SLOTS[slot])}"
        raise ctx.fail(
            "E301",
            places.head(span, value.name),
            f"unknown {name} `{value.name}`",
            f"{near} {legal}" if near else legal,
        )
    return filled(ctx, spec, value, node, scope, span)


def filled(
    ctx: Context, spec: Spec, value: Component, node: ast.Value, scope: Scope, span: Span
) -> Component:
    """A component with its arguments checked and its defaults filled in. Raises Broken."""
    given: dict[str, Any] = {}
    names = [p.name for p in spec.params]
    syntax = places.arguments(node, value.name)
    for key, found in value.args:
        name = key
        if key.isdigit():
            index = int(key)
            if spec.name == "compose":
                given[key] = component(ctx, "sampler", found, node, scope, "sampler")
                continue
            if index >= min(spec.positional, len(names)):
                raise ctx.fail(
                    "E303",
                    syntax.get(key, span),
                    f"`{spec.name}` takes its arguments by name"
                    if names
                    else f"`{spec.name}` takes no arguments",
                    f"it has {', '.join(names)}" if names else None,
                )
            name = names[index]
        param = next((p for p in spec.params if p.name == name), None)
        if param is None:
            raise ctx.fail(
                "E303",
                syntax.get(key, span),
                f"`{spec.name}` has no argument `{name}`",
                did_you_mean(name, names) or (None if names else "it takes none"),
            )
        if name in given:
            raise ctx.fail("E112", syntax.get(key, span), f"`{name}` is given twice")
        where = places.argument_node(node, value.name, key) or node
        given[name] = check(ctx, param, found, where, spec.name, scope)
    for param in spec.params:
        if param.name in given:
            continue
        if param.default is REQUIRED:
            raise ctx.fail("E305", span, f"`{spec.name}` needs `{param.name}`", f"{spec.doc}")
        default = param.default
        if param.type == "time" and isinstance(default, Fraction):
            default = Time(default, False)
        if param.type == "word" and isinstance(default, str):
            default = Word(default)
        given[param.name] = default
    order = [*names, *(k for k in given if k not in names)]
    return Component(spec.name, tuple((k, given[k]) for k in order if k in given), span)


def check(ctx: Context, param: Param, value: Any, node: ast.Value, owner: str, scope: Scope) -> Any:
    """A value of a parameter's type. Raises Broken."""
    if value is UNKNOWN or (value is None and param.default is None):
        return value

    def wrong(wanted: str) -> Broken:
        name = f"`{owner}`: `{param.name}`" if owner != param.name else f"`{owner}`"
        return ctx.fail("E304", node.span, f"{name} is {wanted}")

    kind, _, of = param.type.partition(":")
    match kind:
        case "int":
            if not is_number(value):
                raise wrong("a whole number")
            if abs(value) > MANY:
                raise wrong("a whole number of ordinary size")
            if value.denominator != 1:
                raise ctx.fail(
                    "E208",
                    division(node),
                    f"`{param.name}` {value} is not whole",
                    "`//` floors",
                )
            if value < 0 or (value == 0 and param.name in ("epochs", "batch")):
                raise wrong("at least 1" if param.name in ("epochs", "batch") else "not negative")
            return value
        case "number":
            if not is_number(value):
                raise wrong("a number")
            if abs(value) > HUGE:
                raise wrong("a number that a computer can hold")
            return value
        case "fraction":
            if not is_number(value) or not 0 < value <= 1:
                raise wrong("a fraction above 0 and up to 1")
            return value
        case "bool":
            if not isinstance(value, bool):
                raise wrong("`true` or `false`")
            return value
        case "text":
            if not isinstance(value, str):
                raise wrong('a string: `"…"`')
            return value
        case "pair":
            if not isinstance(value, tuple) or len(value) != 2 or not all(map(is_number, value)):
                raise wrong("a list of two numbers")
            return value
        case "word":
            if (
                not isinstance(value, Word)
                and isinstance(node, ast.Name)
                and node.text in param.words
            ):
                # The word wins over a block or a `let` of the same name.
                return Word(node.text)
            if not isinstance(value, Word) or value.text not in param.words:
                shown = value.text if isinstance(value, Word) else format_value(node)
                near = did_you_mean(shown, param.words)
                raise ctx.fail(
                    "E304",
                    node.span,
                    f"`{owner}`: `{param.name}` is one of {', '.join(param.words)}",
                    near,
                )
            return value
        case "time":
            if isinstance(value, Time):
                return value
            if not is_number(value) or value < 0:
                raise wrong("a time: `10` epochs or `25%`")
            return time_of(node, value)
        case "schedule" | "positive":
            if not (is_number(value) or isinstance(value, Schedule | Steps)):
                raise wrong("a number or a schedule: `cosine(0.1 -> 0)`")
            if is_number(value) and abs(value) > HUGE:
                raise wrong("a number that a computer can hold")
            if kind == "positive":
                _positive(ctx, value, node, param.name)
            return value
        case "measure":
            return _measure(ctx, value, node, wrong)
        case "names":
            return tuple(str(v) for v in value) if isinstance(value, frozenset | tuple) else value
        case "name":
            return str(value)
        case "component":
            return component(ctx, of, value, node, scope, of)
        case _:
            return value


def _measure(ctx: Context, value: Any, node: ast.Value, wrong: Callable[[str], Broken]) -> Word:
    """The name of something that is measured."""
    if not isinstance(value, Word):
        raise wrong("what is measured: `test.accuracy`")
    if value.text not in REPORTED:
        raise ctx.fail(
            "E304",
            node.span,
            f"`{value.text}` is not measured",
            did_you_mean(value.text, REPORTED) or f"there are {', '.join(REPORTED[:3])}, …",
        )
    return value


def _positive(ctx: Context, value: Any, node: ast.Value, name: str) -> None:
    what = "temperature" if name == "tau" else f"`{name}`"
    schedules = [value] if isinstance(value, Schedule) else []
    if isinstance(value, Steps):
        schedules = [v for _, v in value.entries if isinstance(v, Schedule)]
        numbers = [v for _, v in value.entries if is_number(v)]
    else:
        numbers = [value] if is_number(value) else []
    for schedule in schedules:
        # Held per epoch, a schedule never reaches its end.
        if schedule.end <= 0 and not (schedule.per_epoch and schedule.end == 0):
            span = places.end_of(node) or node.span
            raise ctx.fail(
                "E322",
                span,
                f"{what} reaches {schedule.end} at the last step; it must stay positive",
                "`-> 0.1`",
            )
        if schedule.start <= 0:
            raise ctx.fail(
                "E322",
                node.span,
                f"{what} begins at {schedule.start}; it must stay positive",
            )
    for number in numbers:
        if number <= 0:
            raise ctx.fail("E322", node.span, f"{what} must be positive, not {number}")
