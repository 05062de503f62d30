"""A primitive of the op table: its arguments, its defaults, the rules of its place."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.op import Op, Prim, Scalar
from nasdsl.ir.optable import OPS, SAME, WIDTH, ShapeError
from nasdsl.ir.shape import Shape
from nasdsl.lowering.scope import Broken, Context, Env, Place, whole
from nasdsl.lowering.value.arithmetic import HUGE, MANY, division
from nasdsl.lowering.value.evaluation import value
from nasdsl.source import Span
from nasdsl.syntax import ast


def primitive(
    ctx: Context,
    kind: str,
    args: tuple[ast.Arg, ...],
    span: Span,
    env: Env,
    place: Place,
    inp: Shape,
) -> Op:
    """A primitive with arguments, defaults and the rules of its place. Raises Broken."""
    spec = OPS[kind]
    attrs: dict[str, Scalar] = {}
    names = [p.name for p in spec.params]
    for i, arg in enumerate(args):
        name = arg.name if arg.name is not None else (names[i] if i < len(names) else None)
        if name is None:
            raise ctx.fail(
                "E112", arg.span, f"`{kind}` takes {len(names)} argument{'s' * (len(names) != 1)}"
            )
        param = next((p for p in spec.params if p.name == name), None)
        if param is None:
            raise ctx.fail(
                "E112", arg.span, f"`{kind}` has no parameter `{name}`", did_you_mean(name, names)
            )
        if name in attrs:
            raise ctx.fail("E112", arg.span, f"`{name}` is given twice")
        if name == "pad" and isinstance(arg.value, ast.Name) and arg.value.text == "same":
            attrs[name] = "same"
            continue
        found = value(ctx, arg.value, env, place.inside(name))
        attrs[name] = _scalar(ctx, kind, param.name, param.type, found, arg.value)
    if kind in ("none", "noise"):
        if not place.width:
            raise no_width(ctx, span)
        attrs.update(out=place.width, stride=place.stride)
    for param in spec.params:
        if param.name not in attrs:
            attrs[param.name] = _default(ctx, kind, param, span, place, inp)
    if kind == "attention" and not attrs["head_dim"]:
        attrs["head_dim"] = inp.channels // max(1, int(str(attrs["heads"])))
    try:
        out = spec.shape(attrs, inp)
    except ShapeError as error:
        raise ctx.fail("E212", span, f"`{kind}`: {error}") from None
    return Prim(
        kind=kind,
        attrs=tuple((p.name, attrs[p.name]) for p in spec.params),
        inp=inp,
        out=out,
        span=span,
    )


def no_width(ctx: Context, span: Span) -> Broken:
    """E232: something asks for the running width, and the space has none."""
    return ctx.fail(
        "E232",
        span,
        f"space `{ctx.block.name}` has no running width here",
        "write `width = 16` in the space, or `out = …`",
    )


def _default(ctx: Context, kind: str, param: Any, span: Span, place: Place, inp: Shape) -> Scalar:
    if param.default == WIDTH:
        if not place.width:
            raise no_width(ctx, span)
        return place.width
    if param.default == SAME:
        return "same" if param.name == "pad" else inp.channels
    if param.name == "affine" and param.default is None:
        return not (place.searched and ctx.supernet)
    if param.default is None:
        raise ctx.fail("E111", span, f"`{kind}` needs `{param.name}`")
    default: Scalar = param.default
    return default


def _scalar(ctx: Context, kind: str, name: str, type_: str, found: Any, node: ast.Value) -> Scalar:
    """An argument as a plain value of its parameter's type."""

    def wrong(wanted: str) -> Broken:
        return ctx.fail("E304", node.span, f"`{kind}`: `{name}` is {wanted}")

    if type_ == "bool":
        if isinstance(found, bool):
            return found
        raise wrong("`true` or `false`")
    if type_ == "number":
        if isinstance(found, Fraction) and not isinstance(found, bool):
            if abs(found) > HUGE:
                raise wrong("a number that a computer can hold")
            return float(found)
        raise wrong("a number")
    if type_ == "size" and isinstance(found, tuple):
        numbers = tuple(whole(v) for v in found)
        if any(n is None for n in numbers):
            raise wrong("whole numbers")
        return tuple(n for n in numbers if n is not None)
    if isinstance(found, bool) or not isinstance(found, Fraction):
        raise wrong("a whole number")
    if abs(found) > MANY:
        raise wrong("a whole number of ordinary size")
    result = whole(found)
    if result is None:
        raise ctx.fail(
            "E208",
            division(node),
            f"{name} {found} is not whole",
            "`//` floors; `round_to(…, 8)`",
        )
    return result
