"""What a name in a block stands for."""

from __future__ import annotations

from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.config import Pipeline, Ref, Word
from nasdsl.ir.schema import BLOCKS
from nasdsl.lowering.config.context import BLOCK_KINDS, UNKNOWN, Context, Scope
from nasdsl.lowering.lookup import lookup
from nasdsl.lowering.modules import Def
from nasdsl.lowering.scope import Broken
from nasdsl.syntax import ast


class _Undefined:
    pass


UNDEFINED: Any = _Undefined()


def name(ctx: Context, node: ast.Name, scope: Scope) -> Any:
    name = node.parts[0]
    if len(node.parts) == 1:
        if name in scope.locals:
            return scope.locals[name]
        found = local(ctx, name, scope, node)
        if found is not UNDEFINED:
            return found
        if name == "none":
            return None
        definition = scope.module.names.get(name)
        if definition is not None and definition.kind == "let":
            return _let(ctx, definition, scope)
        known = name in ctx.legal
        if definition is not None and definition.kind in BLOCK_KINDS and not known:
            # A component of a slot may carry the name of a block: `sampler = softmax`.
            return Ref(definition.kind, name)
        if definition is None and name in scope.module.lost and not known:
            raise Broken
        return Word(name)
    if name == "network" and scope.block.kind == "recipe":
        return _network(ctx, node)
    if name == "data" and scope.block.kind in ("recipe", "train", "dataset"):
        return _data(ctx, node)
    if name in scope.module.files:
        definition = lookup(scope.module, node, ctx.diags, "definition")
        if definition is None:
            raise Broken
        return Ref(definition.kind, node.text)
    return Word(node.text)


def local(ctx: Context, name: str, scope: Scope, node: ast.Name) -> Any:
    block = scope.block
    if name in ctx.changes and name in block.params:
        return ctx.changes[name]
    piece = block.get("set", name) or block.params.get(name)
    if piece is not None:
        value = piece.node.value if isinstance(piece.node, ast.Attr) else None
        if isinstance(piece.node, ast.Param):
            value = piece.node.default
        if value is None:
            raise ctx.fail("E111", node.span, f"parameter `{name}` has no value")
        if isinstance(value, ast.Name) and value.text == name and piece.previous is None:
            return Word(name)
        return ctx.value(value, Scope(piece.origin.module, block))
    let = block.get("let", name)
    if let is not None and isinstance(let.node, ast.Let):
        return ctx.value(let.node.value, Scope(let.origin.module, block))
    return UNDEFINED


def _let(ctx: Context, definition: Def, scope: Scope) -> Any:
    if not isinstance(definition.node, ast.Let):
        raise Broken
    return ctx.value(definition.node.value, Scope(definition.module, scope.block))


def _network(ctx: Context, node: ast.Name) -> Any:
    if ctx.network is None:
        return UNKNOWN
    if len(node.parts) != 2 or node.parts[1] not in ctx.network:
        name = ".".join(node.parts[1:])
        raise ctx.fail(
            "E331",
            node.span,
            f"space `{ctx.space}` has no parameter `{name}`, which the recipe reads",
            did_you_mean(name, ctx.network),
        )
    return ctx.network[node.parts[1]]


def _data(ctx: Context, node: ast.Name) -> Any:
    if ctx.data is None:
        if len(node.parts) == 2 and node.parts[1] in BLOCKS["dataset"]:
            return UNKNOWN
        raise ctx.fail(
            "E115",
            node.span,
            f"a data set has no field `{'.'.join(node.parts[1:])}`",
            did_you_mean(node.parts[-1], BLOCKS["dataset"]),
        )
    found = ctx.dataset(ctx.data)
    if len(node.parts) != 2 or node.parts[1] not in BLOCKS["dataset"]:
        raise ctx.fail("E115", node.span, f"`{node.text}` is not a field of a data set")
    value = found.get(node.parts[1])
    if value is None and node.parts[1] == "augment":
        return Pipeline(())
    return value
