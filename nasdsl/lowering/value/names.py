"""Names that mean something at a place, and names that mean nothing."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.lowering.elsewhere import OPERATIONS, VALUES, bundled_hint
from nasdsl.lowering.scope import Broken, Context, Env, Place, known_ops, where_defined
from nasdsl.syntax import ast


def special(name: str, ctx: Context, place: Place | None) -> Any:
    """`stride`, `width`, `c_in`, `supernet` of a place; None for other names."""
    if name == "supernet":
        return ctx.supernet
    if name == "width" and place is not None and not place.width:
        return None
    if place is not None and name in ("stride", "width", "c_in"):
        return Fraction({"stride": place.stride, "width": place.width, "c_in": place.c_in}[name])
    return None


def unknown(ctx: Context, node: ast.Name, env: Env, what: str, where: str = "") -> Broken:
    """E101 with a suggestion, unless the name stood in text that was given up."""
    if node.parts[0] in env.module.lost:
        return Broken()
    names = known_ops(ctx, env)
    kinds = {"op": OPERATIONS, "op set": ("ops",)}.get(what, VALUES)
    near = bundled_hint(node.text, kinds)
    if near is not None:
        return ctx.fail("E101", node.span, f"unknown {what} `{node.text}`{where}", near)
    near = did_you_mean(node.text, names, limit=0)
    if near is not None:
        name = near.split("`")[1]
        near += where_defined(ctx, env, name)
    return ctx.fail("E101", node.span, f"unknown {what} `{node.text}`{where}", near)
