"""The edges of a cell: from general to special statements, and each at its place."""

from __future__ import annotations

from dataclasses import dataclass

from nasdsl.diagnostics.model import Label
from nasdsl.ir.cell import CellEdge, Keep
from nasdsl.ir.op import Op, Prim, Seq, is_identity
from nasdsl.lowering.blocks import Piece
from nasdsl.lowering.cell.building import Building, unchanged
from nasdsl.lowering.cell.ends import ends
from nasdsl.lowering.modules import Def
from nasdsl.lowering.operation.application import apply
from nasdsl.lowering.operation.fitting import expected
from nasdsl.lowering.scope import Broken, Context, Env, block_env, resolve
from nasdsl.lowering.value.operations import is_op
from nasdsl.source import Span
from nasdsl.syntax import ast


@dataclass(frozen=True, slots=True)
class EdgeSpec:
    """An edge as it is written: `general` where its statement makes several."""

    source: str
    target: str
    op: ast.Value | None
    env: Env
    span: Span
    layer: int
    general: bool


def stated_edges(work: Building) -> list[EdgeSpec]:
    """The edges that the statements make, by target and source; later ones replace earlier ones.

    E201 where one runs backwards, W211 where a general one hides another. Raises Broken.
    """
    ctx = work.ctx
    found: dict[tuple[str, str], EdgeSpec] = {}
    position = {name: i for i, name in enumerate(work.order)}
    position["out"] = len(position)
    broken = False
    for statement, env, layer in work.definition.statements:
        if not isinstance(statement, ast.Edge):
            continue
        pairs: list[tuple[str, str]] = []
        try:
            targets = [t for e in statement.targets for t in ends(work, e, env, may_out=True)]
            for target in targets:
                for end in statement.sources:
                    for source in ends(work, end, env, target):
                        if position[source] >= position[target]:
                            raise ctx.fail(
                                "E201",
                                end.span,
                                "edge runs backwards",
                                f"sources come before targets: `{target} -> {source}`",
                            )
                        pairs.append((source, target))
        except Broken:
            broken = True
            continue
        general = len(pairs) > 1
        for pair in pairs:
            earlier = found.get(pair)
            if earlier and earlier.layer == layer and not earlier.general and general:
                ctx.diags.add(
                    "W211",
                    statement.span,
                    f"this replaces the edge at {earlier.span.line}:{earlier.span.column}",
                    help="put the general statement first",
                    labels=(Label(earlier.span, "replaced"),),
                )
            found[pair] = EdgeSpec(
                pair[0], pair[1], statement.op, env, statement.span, layer, general
            )
    if broken:
        raise Broken
    return sorted(found.values(), key=lambda e: (position[e.target], position[e.source]))


def placed_edge(
    work: Building, edge: EdgeSpec, keeps: tuple[Keep, ...], dropped: set[str]
) -> CellEdge | None:
    """The edge, or None where it does not exist: a fixed `none`, or a genotype without it."""
    ctx = work.ctx
    if edge.source in dropped:
        return None
    shape = work.shapes[edge.source]
    stride = work.stride if edge.source in work.input_names else 1
    identity = f"{work.table}/{edge.target}<-{edge.source}"
    width = _width(work, edge)
    place = work.place(identity, stride, shape.channels, width)
    if edge.op is None:
        op: Op = unchanged(shape, edge.span)
    else:
        env = work.env(edge.env)
        if ctx.genotype is not None and left_out(work, edge, identity, keeps, env):
            return None
        op = apply(ctx, edge.op, env, place, shape)
        if ctx.genotype is None or not ctx.genotype.of(identity):
            wanted = expected(place, shape)
            if op.out.space != wanted.space and edge.target != "out":
                ctx.diags.add(
                    "E207",
                    edge.op.span,
                    f"edge {edge.source} -> {edge.target} yields {op.out}, "
                    f"{edge.target} expects {wanted}",
                    help=_stride_help(work),
                    labels=()
                    if work.stride_at is None
                    else (Label(work.stride_at, f"stride {work.stride} comes from here"),),
                )
                raise Broken
    if work.settled is not None and work.settled.widths and edge.target != "out":
        op = _narrowed(op, width)
    picked = ctx.genotype is not None and bool(ctx.genotype.of(identity))
    if isinstance(op, Prim) and op.kind == "none" and not picked:
        # As the fixed op of an edge `none` removes it; picked by a genotype it yields zeros.
        return None
    return CellEdge(source=edge.source, target=edge.target, op=op, span=edge.span)


def _width(work: Building, edge: EdgeSpec) -> int:
    """The width of the place of an edge: that of its target."""
    if work.settled is None:
        return work.width
    if edge.target == "out":
        return work.settled.shares.get(edge.source, work.width)
    return work.settled.widths.get(edge.target, work.width)


def _narrowed(op: Op, width: int) -> Op:
    """Of more channels than its target has an edge hands on the first (NAS-Bench-101)."""
    if op.out.channels <= width:
        return op
    out = op.out.with_channels(width)
    made = Prim(kind="narrow", attrs=(("out", width),), inp=op.out, out=out, span=op.span)
    if is_identity(op):
        return made
    parts = op.parts if isinstance(op, Seq) else (op,)
    return Seq(parts=(*parts, made), inp=op.inp, out=out, span=op.span)


def _stride_help(work: Building) -> str:
    """Where the stride of a cell comes from and what an op does with it."""
    at = work.stride_at
    if at is None:
        return f"the cell has `stride = {work.stride}`; pass `stride = stride`"
    return f"`stride = {work.stride}` comes from {at.line}:{at.column}; pass `stride = stride`"


def left_out(
    work: Building, edge: EdgeSpec, identity: str, keeps: tuple[Keep, ...], env: Env
) -> bool:
    """Whether a genotype leaves an edge with a decision out."""
    gene = work.ctx.genotype
    if gene is None or edge.op is None or gene.of(identity):
        return False
    prefix = f"{work.table}/"
    if not any(key.startswith(prefix) for key, _ in gene.picks):
        return False
    return _decides(work.ctx, edge.op, env)


def _decides(ctx: Context, node: ast.Value, env: Env) -> bool:
    """Whether an edge's op is a decision between operations as a whole."""
    match node:
        case ast.Unary(op="one_of"):
            return is_op(ctx, node, env)
        case ast.Name():
            found = resolve(ctx, node.text, env)
            if isinstance(found, Piece) and isinstance(found.node, ast.Op | ast.Let):
                return _decides(ctx, found.node.value, block_env(ctx.block, found))
            if isinstance(found, Def) and isinstance(found.node, ast.Op | ast.Let):
                return _decides(ctx, found.node.value, Env(found.module))
            return False
        case ast.Binary(op="+"):
            return _decides(ctx, node.left, env)
        case _:
            return False
