"""Stems and heads of a network, also the auxiliary head of what is retrained."""

from __future__ import annotations

from dataclasses import replace

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.ir.space import Stage
from nasdsl.lowering.blocks import group
from nasdsl.lowering.network.walk import Walk, origin_of, push
from nasdsl.lowering.operation.application import apply
from nasdsl.lowering.scope import Broken, Env, Place
from nasdsl.syntax import ast


def stem(walk: Walk, node: ast.Node) -> None:
    """A stem on what stands so far. Raises Broken."""
    if not isinstance(node, ast.Stem):
        return
    index = sum(s.role == "stem" for s in walk.stages)
    name = f"stem_{index}" if len(group(walk.ctx.block, "stems")) > 1 else "stem"
    inp = walk.shape(walk.last)
    place = Place(1, walk.width, inp.channels, name, "", name)
    op = apply(walk.ctx, node.value, origin_of(walk.ctx, "stems"), replace(place, table=name), inp)
    push(walk, name, "stem", op, (walk.last,), op.out, node.span)


def auxiliary(walk: Walk, node: ast.Head, env: Env) -> None:
    """An auxiliary head exists only in the network that is retrained."""
    ctx = walk.ctx
    if ctx.supernet:
        return
    inp = walk.shape(walk.last)
    place = Place(1, walk.width, inp.channels, "aux", "aux", "aux")
    # Where the feature map is too small for the head the network has none; `Network.aux` says so.
    trial = Diagnostics()
    kept, ctx.diags = ctx.diags, trial
    try:
        op = apply(ctx, node.value, env, place, inp)
    except Broken:
        for found in trial:
            if found.code != "E212":
                kept.add(
                    found.code, found.span, found.message, help=found.help, labels=found.labels
                )
                walk.broken = True
        return
    finally:
        ctx.diags = kept
    walk.aux = Stage(
        name="aux", role="aux", body=op, inputs=(walk.last,), out=op.out, span=node.span
    )


def heads(walk: Walk) -> None:
    """The head of a network; E215 where there is none."""
    ctx = walk.ctx
    nodes = [n for n in group(ctx.block, "heads") if isinstance(n, ast.Head)]
    if not nodes:
        if not ctx.block.partial:
            ctx.fail(
                "E215",
                ctx.block.span,
                f"space `{ctx.block.name}` has no `head`",
                "`head global_avg_pool >> linear(data.classes)`",
            )
        walk.broken = True
        return
    for node in nodes:
        if node.at is not None:
            raise ctx.fail("E225", node.at.span, "`at` stands only inside `repeat`")
        inp = walk.shape(walk.last)
        place = Place(1, walk.width, inp.channels, "head", "head", "head")
        op = apply(ctx, node.value, origin_of(ctx, "heads"), place, inp)
        push(walk, "head", "head", op, (walk.last,), op.out, node.span)
