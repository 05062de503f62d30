"""Operations at their place: macros expanded, parameters decided, shapes inferred."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.op import Choice, Op, Par, Seq
from nasdsl.ir.optable import OPS
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Decision
from nasdsl.lowering.blocks import Piece
from nasdsl.lowering.modules import Def
from nasdsl.lowering.operation.fitting import agreed_shape, expected, joined
from nasdsl.lowering.operation.primitive import primitive
from nasdsl.lowering.scope import (
    Broken,
    Builtin,
    Closure,
    Context,
    Env,
    Member,
    Missing,
    Place,
    block_env,
    resolve,
)
from nasdsl.lowering.value.evaluation import as_set, bind, choose_branch
from nasdsl.lowering.value.kinds import Item
from nasdsl.lowering.value.names import unknown
from nasdsl.lowering.value.operations import is_op
from nasdsl.source import Span
from nasdsl.syntax import ast


def apply(ctx: Context, node: ast.Value, env: Env, place: Place, inp: Shape) -> Op:
    """The operation a value denotes, at a place, on an input. Raises Broken."""
    ctx.enter(node.span)
    try:
        return _apply(ctx, node, env, place, inp)
    finally:
        ctx.level -= 1


def _apply(ctx: Context, node: ast.Value, env: Env, place: Place, inp: Shape) -> Op:
    match node:
        case ast.Binary(op=">>"):
            return _chain(ctx, node, env, place, inp)
        case ast.Binary(op="+"):
            if isinstance(node.left, ast.Unary) and not is_op(ctx, node.right, env):
                raise ctx.fail(
                    "E107", node.op_span, "cannot add a set to a decision", "`one_of (a + b)`"
                )
            return _parallel(ctx, "sum", (node.left, node.right), node.span, env, place, inp)
        case ast.Binary(op="-") if isinstance(node.left, ast.Unary):
            as_set(ctx, node, env, place)
            raise Broken
        case ast.If():
            return apply(ctx, choose_branch(ctx, node, env, place), env, place, inp)
        case ast.Unary(op="one_of"):
            return _choice(ctx, node, env, place, inp)
        case ast.Unary(op="fresh"):
            return _fresh(ctx, node, env, place, inp)
        case ast.Name():
            return _name(ctx, node, node.text, (), env, place, inp)
        case ast.Call() if isinstance(node.func, ast.Name):
            return _name(ctx, node, node.func.text, node.args, env, place, inp)
        case _:
            raise ctx.fail(
                "E213", node.span, "an operation is wanted here", "such as `conv(3) >> bn`"
            )


def _chain(ctx: Context, node: ast.Binary, env: Env, place: Place, inp: Shape) -> Op:
    parts: list[Op] = []
    shape = inp
    for part in _flat(node, ">>"):
        op = apply(ctx, part, env, place, shape)
        parts.extend(op.parts if isinstance(op, Seq) else (op,))
        shape = op.out
    return Seq(parts=tuple(parts), inp=inp, out=shape, span=node.span)


def _flat(node: ast.Value, op: str) -> list[ast.Value]:
    if isinstance(node, ast.Binary) and node.op == op:
        return [*_flat(node.left, op), *_flat(node.right, op)]
    return [node]


def _parallel(
    ctx: Context,
    how: str,
    nodes: tuple[ast.Value, ...],
    span: Span,
    env: Env,
    place: Place,
    inp: Shape,
) -> Op:
    parts = [apply(ctx, n, env, place, inp) for n in nodes]
    return joined(ctx, how, nodes, parts, span, inp)


def _name(
    ctx: Context,
    node: ast.Value,
    name: str,
    args: tuple[ast.Arg, ...],
    env: Env,
    place: Place,
    inp: Shape,
) -> Op:
    if name == "concat" and args:
        return _parallel(ctx, "concat", tuple(a.value for a in args), node.span, env, place, inp)
    found = resolve(ctx, name, env)
    if "." in name and not isinstance(found, Def):
        first = name.partition(".")[0]
        known = env.module.files.get(first)
        raise ctx.fail(
            "E101",
            node.span,
            f"unknown op `{name}`",
            did_you_mean(name.rpartition(".")[2], known.names)
            if known is not None
            else f'no file is imported as `{first}`: `import "…" as {first}`',
        )
    call = node if isinstance(node, ast.Call) else None
    match found:
        case None:
            func = node.func if isinstance(node, ast.Call) else node
            if not isinstance(func, ast.Name):
                raise Broken
            raise unknown(ctx, func, env, "op")
        case Missing():
            raise ctx.fail("E111", node.span, f"parameter `{name}` has no value")
        case Closure():
            return _closure(ctx, found, node, args, env, place, inp)
        case Builtin():
            return primitive(ctx, found.kind, args, node.span, env, place, inp)
        case Member():
            _no_args(ctx, node, args, name)
            inner = block_env(ctx.block, found.piece)
            return candidate(
                ctx, Item(name, found.value, inner, node.span), place, inp, use=node.span
            )
        case Piece():
            return _defined(
                ctx,
                found.node,
                block_env(ctx.block, found),
                call,
                name,
                node,
                args,
                env,
                place,
                inp,
            )
        case Def():
            return _defined(
                ctx, found.node, Env(found.module), call, name, node, args, env, place, inp
            )
        case _:
            raise ctx.fail("E213", node.span, f"`{name}` is no operation")


def _closure(
    ctx: Context,
    found: Closure,
    node: ast.Value,
    args: tuple[ast.Arg, ...],
    env: Env,
    place: Place,
    inp: Shape,
) -> Op:
    """An op given as argument, evaluated where the parameter stands."""
    if found.identity is not None:
        place = replace(place, identity=found.identity, table=found.identity)
    if not args:
        return apply(ctx, found.node, found.env, place, inp)
    if isinstance(found.node, ast.Name):
        # `body(3)` where `body` is the name of a macro: its arguments are written here.
        target = resolve(ctx, found.node.text, found.env)
        call = node if isinstance(node, ast.Call) else None
        if isinstance(target, Builtin):
            return primitive(ctx, target.kind, args, node.span, env, place, inp)
        if isinstance(target, Def | Piece):
            inner = Env(target.module) if isinstance(target, Def) else block_env(ctx.block, target)
            name = found.node.text
            return _defined(ctx, target.node, inner, call, name, node, args, env, place, inp)
    raise ctx.fail("E112", node.span, "this operation takes no arguments")


def _no_args(ctx: Context, node: ast.Value, args: tuple[ast.Arg, ...], name: str) -> None:
    if args:
        raise ctx.fail("E112", node.span, f"`{name}` takes no arguments")


def _defined(
    ctx: Context,
    target: Any,
    inner: Env,
    call: ast.Call | None,
    name: str,
    node: ast.Value,
    args: tuple[ast.Arg, ...],
    env: Env,
    place: Place,
    inp: Shape,
) -> Op:
    with ctx.expanding(target, name, node.span):
        match target:
            case ast.Op():
                empty = ast.Call(span=node.span, func=node, args=())
                scope = bind(ctx, target, inner, call or empty, env, place)
                return apply(ctx, target.value, scope, replace(place, c_in=inp.channels), inp)
            case ast.Let():
                _no_args(ctx, node, args, name)
                own = replace(place, identity=name, table=name)
                return apply(ctx, target.value, inner, own, inp)
            case ast.Candidate():
                _no_args(ctx, node, args, name)
                item = Item(name, target.value, inner, node.span)
                return candidate(ctx, item, place, inp, use=node.span)
            case ast.Cell():
                if ctx.nest is None:
                    raise Broken
                _no_args(ctx, node, args, name)
                return ctx.nest(name, env, place, inp, node.span, False)
            case ast.Ops():
                raise ctx.fail(
                    "E213", node.span, f"`{name}` is an op set", f"`one_of {name}` chooses from it"
                )
            case _:
                raise ctx.fail("E213", node.span, f"`{name}` is no operation")


def candidate(ctx: Context, item: Item, place: Place, inp: Shape, *, use: Span) -> Op:
    """A member of a set: its body, or the op of its name."""
    place = replace(place, c_in=inp.channels)
    if item.node is not None:
        return _body(ctx, item.node, item.env, place, inp)
    env = item.env
    for where in (env, Env(env.module)):
        found = resolve(ctx, item.label, where)
        if isinstance(found, Def | Piece) and isinstance(found.node, ast.Op):
            name = ast.Name(span=item.span, parts=(item.label,))
            return apply(ctx, name, where, place, inp)
    if item.label in OPS:
        return primitive(ctx, item.label, (), use, env, place, inp)
    owner = f" in op set `{item.owner}`" if item.owner else ""
    raise unknown(ctx, ast.Name(span=item.span, parts=(item.label,)), env, "op", owner)


def _body(ctx: Context, node: ast.Value, env: Env, place: Place, inp: Shape) -> Op:
    """A candidate's body; one that decides nothing is the same at every equal place."""
    if env.locals or ctx.genotype is not None:
        return apply(ctx, node, env, place, inp)
    key = (
        *(id(node), id(env.module), env.block is None, inp),
        *(place.stride, place.width, place.c_in, place.searched),
    )
    known = ctx.bodies.get(key)
    if known is None:
        before = ctx.made
        known = apply(ctx, node, env, place, inp)
        if ctx.made == before:
            ctx.bodies[key] = known
    return known


def _fresh(ctx: Context, node: ast.Unary, env: Env, place: Place, inp: Shape) -> Op:
    if not isinstance(node.operand, ast.Name):
        raise ctx.fail("E220", node.span, "`fresh` takes the name of a decision or a cell")
    name = node.operand.text
    found = resolve(ctx, name, env)
    target = found.node if isinstance(found, Def | Piece) else None
    if isinstance(target, ast.Cell) and ctx.nest is not None:
        return ctx.nest(name, env, place, inp, node.span, True)
    if isinstance(target, ast.Let | ast.Op) or isinstance(found, Closure):
        identity = f"{name}@{place.stage}"
        place = replace(place, identity=identity, table=identity)
        if isinstance(found, Closure):
            return apply(ctx, found.node, found.env, place, inp)
        if isinstance(target, ast.Let) and isinstance(found, Def | Piece):
            inner = Env(found.module) if isinstance(found, Def) else block_env(ctx.block, found)
            return apply(ctx, target.value, inner, place, inp)
        return apply(ctx, node.operand, env, place, inp)
    raise ctx.fail("E220", node.span, "`fresh` takes the name of a decision or a cell")


def _choice(ctx: Context, node: ast.Unary, env: Env, place: Place, inp: Shape) -> Op:
    items = as_set(ctx, node.operand, env, place).items
    if len(items) == 1:
        return candidate(ctx, items[0], place, inp, use=node.span)
    identity = ctx.identity(place.identity, node)
    table = place.table or identity
    inside = replace(place, searched=True, table="")
    picked = ctx.genotype.of(identity) if ctx.genotype is not None else ()
    if picked:
        return picked_ops(ctx, picked, items, inside, inp, node.span, env)
    options: list[Op] = []
    nested: list[tuple[Decision, ...]] = []
    wanted = expected(place, inp)
    broken = False
    for item in items:
        ctx.nesting.append([])
        try:
            options.append(candidate(ctx, item, inside, inp, use=item.span))
        except Broken:
            broken = True
        nested.append(tuple(ctx.nesting.pop()))
    if broken:
        raise Broken
    agreed = agreed_shape(ctx, node.span, items, options, wanted, inp)
    ctx.record(
        Decision(
            id=identity,
            # Below an alternative a decision has no table: it exists only with that alternative.
            table=place.table if ctx.nesting else table,
            kind="op",
            labels=tuple(i.label for i in items),
            nested=tuple(nested),
            span=node.span,
        )
    )
    return Choice(
        decision=identity,
        labels=tuple(i.label for i in items),
        options=tuple(options),
        inp=inp,
        out=agreed,
        span=node.span,
    )


def picked_ops(
    ctx: Context,
    labels: tuple[str, ...],
    items: tuple[Item, ...],
    place: Place,
    inp: Shape,
    span: Span,
    env: Env,
) -> Op:
    """What a genotype puts on an edge; labels outside the set are ops of the scope."""
    by_label = {i.label: i for i in items}
    parts: list[Op] = []
    for label in labels:
        item = by_label.get(label) or Item(label, None, env, span)
        if label not in by_label:
            name = ast.Name(span=span, parts=(label,))
            parts.append(apply(ctx, name, env, replace(place, c_in=inp.channels), inp))
        else:
            parts.append(candidate(ctx, item, place, inp, use=span))
    if len(parts) == 1:
        return parts[0]
    return Par(how="picked", parts=tuple(parts), inp=inp, out=parts[0].out, span=span)
