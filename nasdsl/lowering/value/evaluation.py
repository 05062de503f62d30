"""Values of spaces: exact numbers, conditions, sets, and decisions among numbers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.shape import Shape
from nasdsl.lowering.blocks import Block, Piece
from nasdsl.lowering.modules import Def
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
    known_ops,
    resolve,
    whole,
)
from nasdsl.lowering.value.arithmetic import (
    FUNCTIONS,
    LONG,
    MANY,
    arithmetic,
    call_function,
    division,
)
from nasdsl.lowering.value.decisions import float_domain, fresh, int_domain, one_of, set_to_decision
from nasdsl.lowering.value.kinds import Given, SetValue, kind_of
from nasdsl.lowering.value.names import special, unknown
from nasdsl.lowering.value.operations import is_op
from nasdsl.lowering.value.sets import check_subtracted, combined, ops_set, set_value
from nasdsl.lowering.value.shapes import SHAPES, named_dims
from nasdsl.syntax import ast


def value(ctx: Context, node: ast.Value, env: Env, place: Place | None) -> Any:
    """A number, boolean, string, list, Shape, SetValue or Block. Raises Broken."""
    ctx.enter(node.span)
    try:
        return _value(ctx, node, env, place)
    finally:
        ctx.level -= 1


def _value(ctx: Context, node: ast.Value, env: Env, place: Place | None) -> Any:
    match node:
        case ast.Number():
            return node.value
        case ast.String() | ast.Boolean():
            return node.value
        case ast.Name():
            return _name(ctx, node, env, place)
        case ast.Unary(op="-"):
            return -number(ctx, node.operand, env, place)
        case ast.Unary(op="not"):
            return not boolean(ctx, node.operand, env, place)
        case ast.Unary(op="one_of"):
            return _one_of(ctx, node, env, place)
        case ast.Unary(op="fresh"):
            return value_of(ctx, fresh(ctx, node, env, place), place)
        case ast.Binary():
            return _binary(ctx, node, env, place)
        case ast.If():
            return value(ctx, choose_branch(ctx, node, env, place), env, place)
        case ast.IntDomain():
            low = integer(ctx, node.low, env, place, "bound")
            high = integer(ctx, node.high, env, place, "bound")
            step = integer(ctx, node.step, env, place, "step") if node.step else 1
            return int_domain(ctx, node, place, low, high, step)
        case ast.FloatDomain():
            least = number(ctx, node.low, env, place)
            return float_domain(ctx, node, place, least, number(ctx, node.high, env, place))
        case ast.ListOf():
            return _list(ctx, node, env, place)
        case ast.SetOf():
            return set_value(ctx, node, env, place)
        case ast.Call():
            return _call(ctx, node, env, place)
        case _:
            raise ctx.fail("E213", node.span, "this is no value of a space")


def _name(ctx: Context, node: ast.Name, env: Env, place: Place | None) -> Any:
    found = resolve(ctx, node.parts[0], env)
    if len(node.parts) > 1 and found is not None:
        return _member(ctx, node, found)
    if len(node.parts) > 1:
        raise unknown(ctx, node, env, "name")
    if found is None or (isinstance(found, Def) and env.block is None and found.kind == "param"):
        known = special(node.text, ctx, place)
        if known is not None:
            return known
    match found:
        case None:
            raise unknown(ctx, node, env, "name")
        case Missing():
            raise ctx.fail("E111", node.span, f"parameter `{node.text}` has no value")
        case Closure():
            return value_of(ctx, found, place)
        case Piece():
            return _piece(ctx, found, node, place)
        case Def():
            return _def(ctx, found, node, place)
        case Builtin() | Member():
            raise ctx.fail("E213", node.span, f"`{node.text}` is an operation, not a number")
        case _:
            return found


def value_of(ctx: Context, closure: Closure, place: Place | None) -> Any:
    """A closure's value; a `let` makes its decisions under its own name."""
    if closure.identity is not None and place is not None:
        place = replace(place, identity=closure.identity, table=closure.identity)
    elif closure.identity is not None:
        place = Place(1, 1, 1, closure.identity, closure.identity, closure.identity)
    return value(ctx, closure.node, closure.env, place)


def _piece(ctx: Context, piece: Piece, node: ast.Name, place: Place | None) -> Any:
    env = block_env(ctx.block, piece)
    match piece.node:
        case ast.Let():
            with ctx.expanding(piece.node, node.text, node.span):
                return value_of(ctx, Closure(piece.node.value, env, piece.key[1]), place)
        case ast.Ops():
            return ops_set(ctx, piece.node, env)
        case ast.Op() if not piece.node.params:
            return value(ctx, piece.node.value, env, place)
        case _:
            raise ctx.fail("E213", node.span, f"`{node.text}` is no value")


def _def(ctx: Context, found: Def, node: ast.Name, place: Place | None) -> Any:
    match found.node:
        case ast.Let():
            closure = Closure(found.node.value, Env(found.module), found.name)
            with ctx.expanding(found.node, node.text, node.span):
                return value_of(ctx, closure, place)
        case ast.Ops():
            return ops_set(ctx, found.node, Env(found.module))
        case ast.Op() if not found.node.params:
            return value(ctx, found.node.value, Env(found.module), place)
        case ast.Space() | ast.Config():
            block = ctx.flat.block(found)
            if block is None:
                raise Broken
            return block
        case _:
            raise ctx.fail("E213", node.span, f"`{node.text}` is an operation, not a number")


def _member(ctx: Context, node: ast.Name, found: Any) -> Any:
    """`data.shape`, `data.classes`."""
    block = found
    if isinstance(found, Closure):
        block = value_of(ctx, found, None)
    elif isinstance(found, Def) and isinstance(found.node, ast.Config):
        block = ctx.flat.block(found)
    if isinstance(block, Given):
        known = {"shape": block.shape, "classes": Fraction(block.classes)}
        if node.parts[1] in known:
            return known[node.parts[1]]
    if isinstance(block, Block) and block.kind == "dataset" and len(node.parts) == 2:
        piece = block.get("attr", node.parts[1])
        if piece is not None and isinstance(piece.node, ast.Attr):
            return value(ctx, piece.node.value, Env(piece.origin.module), None)
        fields = [p.key[1] for p in block.all("attr")]
        raise ctx.fail(
            "E115",
            node.span,
            f"data set `{block.name}` has no field `{node.parts[1]}`",
            did_you_mean(node.parts[1], fields),
        )
    raise ctx.fail("E115", node.span, f"`{node.text}` is not a field of anything")


def number(ctx: Context, node: ast.Value, env: Env, place: Place | None) -> Fraction:
    """An exact number. Raises Broken."""
    found = value(ctx, node, env, place)
    if isinstance(found, bool) or not isinstance(found, Fraction):
        raise ctx.fail("E213", node.span, f"a number is wanted here, not {kind_of(found)}")
    return found


def integer(ctx: Context, node: ast.Value, env: Env, place: Place | None, what: str) -> int:
    """A whole number; E208 points at the division that spoils it."""
    found = number(ctx, node, env, place)
    if abs(found) > MANY:
        raise ctx.fail("E208", node.span, f"{what} is out of range", "at most 10^12")
    result = whole(found)
    if result is None:
        raise ctx.fail(
            "E208",
            division(node),
            f"{what} {found} is not whole",
            "`//` floors; `round_to(…, 8)`",
        )
    return result


def boolean(ctx: Context, node: ast.Value, env: Env, place: Place | None) -> bool:
    """A condition. Raises Broken."""
    found = value(ctx, node, env, place)
    if not isinstance(found, bool):
        raise ctx.fail("E218", node.span, f"a condition is wanted here, not {kind_of(found)}")
    return found


def choose_branch(ctx: Context, node: ast.If, env: Env, place: Place | None) -> ast.Value:
    """The branch that a condition picks; E231 where the condition depends on a decision."""
    before = ctx.decided
    chosen = node.then if boolean(ctx, node.condition, env, place) else node.otherwise
    if ctx.decided > before:
        raise ctx.fail(
            "E231",
            node.condition.span,
            "a condition may not depend on a decision",
            "decide between the two: `one_of {a, b}`",
        )
    return chosen


def _binary(ctx: Context, node: ast.Binary, env: Env, place: Place | None) -> Any:
    if node.op == "and":
        return boolean(ctx, node.left, env, place) and boolean(ctx, node.right, env, place)
    if node.op == "or":
        return boolean(ctx, node.left, env, place) or boolean(ctx, node.right, env, place)
    left = value(ctx, node.left, env, place)
    right = value(ctx, node.right, env, place)
    if node.op in ("==", "!="):
        return (left == right) == (node.op == "==")
    if isinstance(left, SetValue) and isinstance(right, SetValue) and node.op in "+-":
        if node.op == "-":
            check_subtracted(ctx, left, right)
        return combined(left, right, node.op)
    if isinstance(left, tuple) and isinstance(right, tuple) and node.op == "+":
        return left + right
    numbers = all(isinstance(v, Fraction) and not isinstance(v, bool) for v in (left, right))
    if not numbers:
        raise ctx.fail(
            "E107",
            node.op_span,
            f"`{node.op}` does not join {kind_of(left)} and {kind_of(right)}",
        )
    return arithmetic(ctx, node.op, left, right, node.op_span)


def _list(ctx: Context, node: ast.ListOf, env: Env, place: Place | None) -> tuple[Any, ...]:
    found: list[Any] = []
    for item in node.items:
        if isinstance(item, ast.Range):
            low = integer(ctx, item.low, env, place, "bound")
            high = integer(ctx, item.high, env, place, "bound")
            if high - low >= LONG:
                raise ctx.fail("E116", item.span, f"a list of {high - low + 1} numbers is too long")
            found.extend(Fraction(i) for i in range(low, high + 1))
        else:
            found.append(value(ctx, item, env, place))
    return tuple(found)


def _call(ctx: Context, node: ast.Call, env: Env, place: Place | None) -> Any:
    name = node.func.text if isinstance(node.func, ast.Name) else ""
    found = resolve(ctx, name, env) if "." not in name else None
    if found is not None:
        match found:
            case Piece() if isinstance(found.node, ast.Op):
                inner = bind(ctx, found.node, block_env(ctx.block, found), node, env, place)
                return value(ctx, found.node.value, inner, place)
            case Def() if isinstance(found.node, ast.Op):
                inner = bind(ctx, found.node, Env(found.module), node, env, place)
                return value(ctx, found.node.value, inner, place)
            case _:
                raise ctx.fail("E213", node.span, f"`{name}` yields no number")
    if name in SHAPES:
        return _shape(ctx, name, node, env, place)
    if name == "pieces" and len(node.args) == 2:
        count = integer(ctx, node.args[0].value, env, place, "number of pieces")
        inner_shape = value(ctx, node.args[1].value, env, place)
        if isinstance(inner_shape, Shape) and inner_shape.kind == "image" and count > 0:
            return Shape("pieces", (count, *inner_shape.dims))
    if name == "pieces":
        raise ctx.fail(
            "E112", node.span, "`pieces` takes a count and a shape", "`pieces(9, image(3, 64, 64))`"
        )
    if name in FUNCTIONS:
        args = [number(ctx, a.value, env, place) for a in node.args]
        return call_function(ctx, name, args, node.span)
    raise ctx.fail(
        "E101",
        node.func.span,
        f"unknown function `{name}`",
        did_you_mean(name, [*FUNCTIONS, *SHAPES, *known_ops(ctx, env)], limit=0),
    )


def _shape(ctx: Context, name: str, node: ast.Call, env: Env, place: Place | None) -> Shape:
    args = named_dims(name, node)
    dims = tuple(integer(ctx, a.value, env, place, "extent") for a in args or ())
    if args is None or len(dims) != SHAPES[name] or any(d <= 0 for d in dims):
        raise ctx.fail("E112", node.span, f"`{name}` takes {SHAPES[name]} positive whole numbers")
    return Shape(name, dims)


def as_set(ctx: Context, node: ast.Value, env: Env, place: Place | None) -> SetValue:
    """The set that `one_of` chooses from. Raises Broken."""
    if (
        isinstance(node, ast.Binary)
        and node.op in "+-"
        and isinstance(node.left, ast.Unary)
        and node.left.op == "one_of"
    ):
        raise set_to_decision(ctx, node)
    found = value(ctx, node, env, place)
    if not isinstance(found, SetValue):
        raise ctx.fail("E213", node.span, f"`one_of` needs a set, not {kind_of(found)}")
    if not found.items:
        raise ctx.fail("E219", node.span, "nothing is left to choose from")
    return found


def _one_of(ctx: Context, node: ast.Unary, env: Env, place: Place | None) -> Any:
    """A decision among numbers; a set with one member decides nothing."""
    found = as_set(ctx, node.operand, env, place)
    results: list[Any] = []
    for item in found.items:
        if item.node is None:
            raise ctx.fail("E213", item.span, f"`{item.label}` is an operation, not a number")
        results.append(value(ctx, item.node, item.env, place))
    if len(results) == 1:
        return results[0]
    return one_of(ctx, node, place, found.labels, results)


def bind(
    ctx: Context, op: ast.Op, env: Env, call: ast.Call, outer: Env, place: Place | None
) -> Env:
    """The scope of an op's body: arguments as closures, defaults evaluated at the use."""
    names = [p.name.text for p in op.params]
    values: dict[str, Any] = {}
    for i, arg in enumerate(call.args):
        name = arg.name
        if name is None:
            if i >= len(names):
                raise ctx.fail(
                    "E112",
                    arg.span,
                    f"`{op.name.text}` takes {len(names)} argument{'s' * (len(names) != 1)}",
                    f"defined {op.name.span}",
                )
            name = names[i]
        if name not in names:
            raise ctx.fail(
                "E112",
                arg.span,
                f"`{op.name.text}` has no parameter `{name}`",
                did_you_mean(name, names),
            )
        if name in values:
            raise ctx.fail("E112", arg.span, f"`{name}` is given twice")
        values[name] = argument(ctx, arg.value, outer, place, name)
    for param in op.params:
        if param.name.text in values:
            continue
        if param.default is None:
            raise ctx.fail(
                "E111",
                call.span,
                f"`{op.name.text}` needs `{param.name.text}`",
                f"defined {op.name.span}",
            )
        inner = env.bind(**values)
        values[param.name.text] = argument(ctx, param.default, inner, place, param.name.text)
    return env.bind(**values)


def argument(ctx: Context, node: ast.Value, env: Env, place: Place | None, name: str) -> Any:
    """An argument: operations wait until they are used, everything else has its value now."""
    if is_op(ctx, node, env):
        return Closure(node, env)
    return value(ctx, node, env, place.inside(name) if place else None)
