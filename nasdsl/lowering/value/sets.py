"""Sets: their members, inherited ones too, and what `+` and `-` make of them."""

from __future__ import annotations

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.lowering.blocks import Piece
from nasdsl.lowering.modules import Def
from nasdsl.lowering.scope import Context, Env, Place, block_env, resolve
from nasdsl.lowering.value.kinds import Item, SetValue
from nasdsl.lowering.value.names import unknown
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value


def ops_set(ctx: Context, node: ast.Ops, env: Env) -> SetValue:
    """The members of an `ops` block, inherited ones first."""
    ctx.enter(node.name.span)
    try:
        return _ops_set(ctx, node, env)
    finally:
        ctx.level -= 1


def _ops_set(ctx: Context, node: ast.Ops, env: Env) -> SetValue:
    items: list[Item] = []
    for parent in node.parents:
        found = resolve(ctx, parent.text, env)
        if isinstance(found, Def | Piece) and isinstance(found.node, ast.Ops):
            inner_env = Env(found.module) if isinstance(found, Def) else block_env(ctx.block, found)
            if found.node is not node:
                items.extend(ops_set(ctx, found.node, inner_env).items)
        else:
            raise unknown(ctx, parent, env, "op set")
    for candidate in node.candidates:
        label = candidate.name.text
        items = [i for i in items if i.label != label]
        items.append(Item(label, candidate.value, env, candidate.name.span, node.name.text))
    return SetValue(tuple(items))


def set_value(ctx: Context, node: ast.SetOf, env: Env, place: Place | None) -> SetValue:
    """The set that is written in braces; equal labels are one member."""
    items: dict[str, Item] = {}
    for member in node.items:
        if isinstance(member, ast.MapOf):
            raise ctx.fail("E027", member.span, "a set holds values, a map `key: value` pairs")
        label = member.parts[-1] if isinstance(member, ast.Name) else format_value(member)
        items.setdefault(label, Item(label, member, env, member.span))
    return SetValue(tuple(items.values()))


def check_subtracted(ctx: Context, left: SetValue, right: SetValue) -> None:
    """E101 for a name that is no operation anywhere: it takes nothing away."""
    for item in right.items:
        node = item.node
        if item.label in left.labels or not isinstance(node, ast.Name) or len(node.parts) > 1:
            continue
        if resolve(ctx, node.text, item.env) is None and node.text not in item.env.module.lost:
            raise ctx.fail(
                "E101",
                item.span,
                f"unknown op `{node.text}` in the set that is subtracted",
                did_you_mean(node.text, left.labels),
            )


def combined(left: SetValue, right: SetValue, op: str) -> SetValue:
    """Two sets as one: those of both under `+`, those of the left alone under `-`."""
    if op == "-":
        gone = set(right.labels)
        return SetValue(tuple(i for i in left.items if i.label not in gone))
    have = set(left.labels)
    return SetValue(left.items + tuple(i for i in right.items if i.label not in have))
