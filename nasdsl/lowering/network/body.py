"""One network of a space, from its input to its head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Network
from nasdsl.lowering.blocks import Block, group
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.network.heads import heads, stem
from nasdsl.lowering.network.instances import nested_cell
from nasdsl.lowering.network.repeats import repeat
from nasdsl.lowering.network.stages import stage
from nasdsl.lowering.network.walk import Walk, guard, origin_of
from nasdsl.lowering.scope import Broken, Context, Env, Place, block_env
from nasdsl.lowering.value.evaluation import integer, value
from nasdsl.syntax import ast


def network(
    diags: Diagnostics,
    flat: Flattener,
    block: Block,
    *,
    supernet: bool,
    overrides: Mapping[str, Any],
    genotype: Genotype | None = None,
    settings: Mapping[str, str] | None = None,
) -> tuple[Network, Context]:
    """One network of a space. Raises Broken with its diagnostics recorded."""
    ctx = Context(diags, flat, block, supernet, dict(overrides), genotype)
    ctx.settings = settings or {}
    ctx.nest = lambda name, env, place, inp, span, fresh: nested_cell(
        ctx, name, env, place, inp, span, fresh
    )
    env = Env(block.module, block)
    walk = Walk(ctx, env, _start_width(ctx))
    walk.inp = _input(ctx)
    for node in group(block, "stems"):
        guard(walk, lambda node=node: stem(walk, node))
        if walk.broken:
            raise Broken
    _body(walk, group(block, "body"), "body", env)
    heads(walk)
    if walk.broken:
        raise Broken
    return (
        Network(name=block.name, inp=walk.inp, stages=tuple(walk.stages), aux=walk.aux),
        ctx,
    )


def _start_width(ctx: Context) -> int:
    piece = ctx.block.get("attr", "width")
    if piece is None or not isinstance(piece.node, ast.Attr):
        return 0  # not set: whatever asks for it is E232
    place = Place(1, 1, 1, "width", "width", "width")
    return integer(ctx, piece.node.value, block_env(ctx.block, piece), place, "width")


def _input(ctx: Context) -> Shape:
    piece = ctx.block.get("input")
    if piece is None or not isinstance(piece.node, ast.Input):
        if ctx.block.partial:
            raise Broken
        raise ctx.fail(
            "E214", ctx.block.span, f"space `{ctx.block.name}` has no `input`", "`input data.shape`"
        )
    found = value(ctx, piece.node.value, Env(piece.origin.module, ctx.block), None)
    if not isinstance(found, Shape):
        raise ctx.fail("E213", piece.node.value.span, "a shape is wanted: `image(3, 32, 32)`")
    return found


def _body(walk: Walk, nodes: list[ast.Node], path: str, env: Env) -> None:
    base = origin_of(walk.ctx, "body")
    env = Env(base.module, walk.ctx.block, env.locals)
    for i, node in enumerate(nodes, 1):
        here = f"{path}[{i}]"
        match node:
            case ast.Stage():
                if node.at is not None:
                    walk.ctx.fail("E225", node.at.span, "`at` stands only inside `repeat`")
                    walk.broken = True
                    continue
                guard(walk, lambda n=node, h=here, e=env: stage(walk, n, h, e))
            case ast.Repeat():
                guard(walk, lambda n=node, h=here, e=env: repeat(walk, n, h, e))
        if walk.broken:
            return
