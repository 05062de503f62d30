"""Values of spaces: exact numbers, conditions, sets, and decisions among numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Decision
from nasdsl.lowering.blocks import Block, Piece
from nasdsl.lowering.elsewhere import OPERATIONS, VALUES, bundled_hint
from nasdsl.lowering.modules import Def, all_candidates
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
    parameter,
    resolve,
    where_defined,
    whole,
)
from nasdsl.source import Span
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value

SHAPES = {"image": 3, "series": 2, "volume": 4, "features": 1, "tokens": 1}
_FUNCTIONS = ("round_to", "exp", "min", "max")
#: Whole numbers and other numbers beyond these are slips; lists are shorter than the third.
MANY, HUGE, LONG = 10**12, 10**300, 100_000


@dataclass(frozen=True, slots=True)
class Item:
    """A member of a set: its label and how to evaluate it."""

    label: str
    node: ast.Value | None
    env: Env
    span: Span
    #: The op set that holds it.
    owner: str = ""


@dataclass(frozen=True, slots=True)
class SetValue:
    """An ordered set; equal labels are one member."""

    items: tuple[Item, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(i.label for i in self.items)


def special(name: str, ctx: Context, place: Place | None) -> Any:
    """`stride`, `width`, `c_in`, `supernet` of a place; None for other names."""
    if name == "supernet":
        return ctx.supernet
    if name == "width" and place is not None and not place.width:
        return None
    if place is not None and name in ("stride", "width", "c_in"):
        return Fraction({"stride": place.stride, "width": place.width, "c_in": place.c_in}[name])
    return None


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
            return _fresh(ctx, node, env, place)
        case ast.Binary():
            return _binary(ctx, node, env, place)
        case ast.If():
            return value(ctx, choose_branch(ctx, node, env, place), env, place)
        case ast.IntDomain():
            return _int_domain(ctx, node, env, place)
        case ast.FloatDomain():
            return _float_domain(ctx, node, env, place)
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
        place = _own(place, closure.identity)
    elif closure.identity is not None:
        place = Place(1, 1, 1, closure.identity, closure.identity, closure.identity)
    return value(ctx, closure.node, closure.env, place)


def _own(place: Place, identity: str) -> Place:
    from dataclasses import replace

    return replace(place, identity=identity, table=identity)


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


@dataclass(frozen=True, slots=True)
class Given:
    """A data set given from outside: only its shape and class count matter to a space."""

    name: str
    shape: Shape
    classes: int


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


def division(node: ast.Value) -> Span:
    """The `/` of a formula, which spoils a whole number; the formula where there is none."""
    todo: list[ast.Value] = [node]
    while todo:
        part = todo.pop()
        if isinstance(part, ast.Unary):
            todo.append(part.operand)
        elif isinstance(part, ast.Binary):
            if part.op == "/":
                return part.op_span
            todo.extend((part.right, part.left))
    return node.span


def boolean(ctx: Context, node: ast.Value, env: Env, place: Place | None) -> bool:
    found = value(ctx, node, env, place)
    if not isinstance(found, bool):
        raise ctx.fail("E218", node.span, f"a condition is wanted here, not {kind_of(found)}")
    return found


def kind_of(found: Any) -> str:
    """A value's type in words."""
    match found:
        case bool():
            return "a boolean"
        case Fraction():
            return "a number"
        case str():
            return "a string"
        case SetValue():
            return "a set"
        case tuple() | list():
            return "a list"
        case Shape():
            return "a shape"
        case Block():
            return f"a {found.kind}"
        case _:
            return "this"


def choose_branch(ctx: Context, node: ast.If, env: Env, place: Place | None) -> ast.Value:
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
            _subtracted(ctx, left, right)
        return _sets(left, right, node.op)
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


def arithmetic(ctx: Context, op: str, a: Fraction, b: Fraction, span: Span) -> Any:
    match op:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "<":
            return a < b
        case "<=":
            return a <= b
        case ">":
            return a > b
        case ">=":
            return a >= b
        case "/" | "//":
            if b == 0:
                raise ctx.fail("E217", span, "division by zero")
            return a / b if op == "/" else Fraction(a // b)
        case _:
            raise ctx.fail("E213", span, f"`{op}` does not join numbers")


def _subtracted(ctx: Context, left: SetValue, right: SetValue) -> None:
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


def _sets(left: SetValue, right: SetValue, op: str) -> SetValue:
    if op == "-":
        gone = set(right.labels)
        return SetValue(tuple(i for i in left.items if i.label not in gone))
    have = set(left.labels)
    return SetValue(left.items + tuple(i for i in right.items if i.label not in have))


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
    if name in _FUNCTIONS:
        args = [number(ctx, a.value, env, place) for a in node.args]
        return _function(ctx, name, args, node.span)
    raise ctx.fail(
        "E101",
        node.func.span,
        f"unknown function `{name}`",
        did_you_mean(name, [*_FUNCTIONS, *SHAPES, *known_ops(ctx, env)], limit=0),
    )


def _function(ctx: Context, name: str, args: list[Fraction], span: Span) -> Fraction:
    if name == "exp" and len(args) == 1:
        if abs(args[0]) > 700:
            raise ctx.fail("E028", span, "`exp` of this is out of range", "|x| is at most 700")
        return Fraction(math.exp(args[0]))
    if name in ("min", "max") and args:
        return min(args) if name == "min" else max(args)
    if name == "round_to" and len(args) == 2 and args[1] > 0:
        # To the nearest multiple, never more than 10 % below (MobileNet's rule).
        step = args[1]
        nearest = max(step, Fraction((args[0] + step / 2) // step) * step)
        return nearest + step if nearest < args[0] * Fraction(9, 10) else nearest
    raise ctx.fail("E112", span, f"`{name}` does not take these arguments")


def _shape(ctx: Context, name: str, node: ast.Call, env: Env, place: Place | None) -> Shape:
    args = named_dims(name, node)
    dims = tuple(integer(ctx, a.value, env, place, "extent") for a in args or ())
    if args is None or len(dims) != SHAPES[name] or any(d <= 0 for d in dims):
        raise ctx.fail("E112", node.span, f"`{name}` takes {SHAPES[name]} positive whole numbers")
    return Shape(name, dims)


#: Names of the dimensions of a shape, in order.
DIMS = {
    "image": ("channels", "height", "width"),
    "series": ("channels", "length"),
    "volume": ("channels", "depth", "height", "width"),
    "features": ("channels",),
    "tokens": ("length",),
}


def named_dims(kind: str, node: ast.Call) -> tuple[ast.Arg, ...] | None:
    """The arguments of a shape in order; None where a name is unknown or given twice."""
    names = DIMS[kind]
    found: dict[str, ast.Arg] = {}
    for i, arg in enumerate(node.args):
        name = arg.name or (names[i] if i < len(names) else "")
        if name not in names or name in found:
            return None
        found[name] = arg
    return tuple(found[n] for n in names if n in found)


# ---- sets and decisions


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
    items: dict[str, Item] = {}
    for member in node.items:
        if isinstance(member, ast.MapOf):
            raise ctx.fail("E027", member.span, "a set holds values, a map `key: value` pairs")
        label = member.parts[-1] if isinstance(member, ast.Name) else format_value(member)
        items.setdefault(label, Item(label, member, env, member.span))
    return SetValue(tuple(items.values()))


def as_set(ctx: Context, node: ast.Value, env: Env, place: Place | None) -> SetValue:
    """The set that `one_of` chooses from. Raises Broken."""
    if (
        isinstance(node, ast.Binary)
        and node.op in "+-"
        and isinstance(node.left, ast.Unary)
        and node.left.op == "one_of"
    ):
        raise _decided(ctx, node)
    found = value(ctx, node, env, place)
    if not isinstance(found, SetValue):
        raise ctx.fail("E213", node.span, f"`one_of` needs a set, not {kind_of(found)}")
    if not found.items:
        raise ctx.fail("E219", node.span, "nothing is left to choose from")
    return found


def _decided(ctx: Context, node: ast.Binary) -> Broken:
    left = node.left.operand if isinstance(node.left, ast.Unary) else node.left
    verb = "subtract a set from" if node.op == "-" else "add a set to"
    return ctx.fail(
        "E107",
        node.op_span,
        f"cannot {verb} a decision",
        f"`one_of ({format_value(left)} {node.op} {format_value(node.right)})`",
    )


def _one_of(ctx: Context, node: ast.Unary, env: Env, place: Place | None) -> Any:
    """A decision among numbers: its picked value, or in a supernet the largest."""
    found = as_set(ctx, node.operand, env, place)
    results: list[Any] = []
    for item in found.items:
        if item.node is None:
            raise ctx.fail("E213", item.span, f"`{item.label}` is an operation, not a number")
        results.append(value(ctx, item.node, item.env, place))
    if len(results) == 1:
        return results[0]
    identity = _decide(ctx, node, place, found.labels)
    picked = ctx.picked(identity)
    if picked in found.labels:
        at = found.labels.index(picked)
    elif all(isinstance(r, Fraction) for r in results):
        at = results.index(max(results))
    else:
        at = 0
    ctx.chosen[identity] = found.labels[at]
    return results[at]


def _decide(
    ctx: Context,
    node: ast.Node,
    place: Place | None,
    labels: Sequence[str],
    count: int | None = None,
    *,
    low: Fraction | None = None,
    high: Fraction | None = None,
    log: bool = False,
) -> str:
    ctx.decided += 1
    if place is None:
        raise ctx.fail("E501", node.span, "no decision can be made here")
    identity = ctx.identity(place.identity, node)
    # Below an alternative a decision has no table: it exists only with that alternative.
    table = place.table if ctx.nesting else place.table or identity
    ctx.record(
        Decision(
            id=identity,
            table=table,
            kind="value",
            labels=tuple(labels),
            count=count,
            low=low,
            high=high,
            log=log,
            span=node.span,
        )
    )
    return identity


def _fresh(ctx: Context, node: ast.Unary, env: Env, place: Place | None) -> Any:
    if not isinstance(node.operand, ast.Name) or place is None:
        raise ctx.fail("E220", node.span, "`fresh` takes the name of a decision or a cell")
    found = resolve(ctx, node.operand.text, env)
    name = f"{node.operand.text}@{place.identity}"
    match found:
        case Piece() if isinstance(found.node, ast.Let):
            closure = Closure(found.node.value, block_env(ctx.block, found), name)
        case Closure():
            closure = Closure(found.node, found.env, name)
        case Def() if isinstance(found.node, ast.Let):
            closure = Closure(found.node.value, Env(found.module), name)
        case _:
            raise ctx.fail("E220", node.span, "`fresh` takes the name of a decision or a cell")
    # One decision per use: the syntax that asks owns it.
    inner = _Again(closure.node)
    return value_of(ctx, Closure(inner.node, closure.env, name), place)


@dataclass(frozen=True, slots=True)
class _Again:
    node: ast.Value


def _int_domain(ctx: Context, node: ast.IntDomain, env: Env, place: Place | None) -> Fraction:
    low = integer(ctx, node.low, env, place, "bound")
    high = integer(ctx, node.high, env, place, "bound")
    step = integer(ctx, node.step, env, place, "step") if node.step else 1
    if high < low or step < 1:
        raise ctx.fail("E221", node.span, f"no whole number lies in {low}..{high} by {step}")
    if (high - low) // step >= LONG:
        raise ctx.fail("E116", node.span, f"{low}..{high} has too many options to list", "`by`")
    labels = [str(i) for i in range(low, high + 1, step)]
    identity = _decide(ctx, node, place, labels)
    picked = ctx.picked(identity)
    ctx.chosen[identity] = picked if picked in labels else labels[-1]
    return Fraction(ctx.chosen[identity])


def _float_domain(ctx: Context, node: ast.FloatDomain, env: Env, place: Place | None) -> Fraction:
    """A number of a domain that lists no options: what a genotype says, else the middle.

    The middle is the mean of the bounds, under `log` their geometric mean. It is not relaxed:
    a supernet has one value there.
    """
    low = number(ctx, node.low, env, place)
    high = number(ctx, node.high, env, place)
    if low > high:
        raise ctx.fail("E221", node.span, f"no number lies in {low}..{high}")
    if node.log and low <= 0:
        raise ctx.fail("E221", node.low.span, "`log` needs positive bounds")
    identity = _decide(ctx, node, place, ("float",), count=-1, low=low, high=high, log=node.log)
    picked = ctx.picked(identity)
    if picked is None:
        if node.log:
            return Fraction(math.exp((math.log(low) + math.log(high)) / 2))
        return (low + high) / 2
    found = decimal(picked)
    if found is None or not low <= found <= high:
        raise ctx.fail(
            "E221", node.span, f"`{picked[:40]}` is no number in {_plain(low)}..{_plain(high)}"
        )
    return found


_DECIMAL = re.compile(r"[+-]?\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,3})?", re.ASCII)


def decimal(text: str) -> Fraction | None:
    """The number of a decimal text such as `0.25` or `1e-3`; None where it is none."""
    return Fraction(text) if _DECIMAL.fullmatch(text) else None


def _plain(value: Fraction) -> str:
    return str(value.numerator if value.denominator == 1 else float(value))


# ---- calls


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


def is_op(ctx: Context, node: ast.Value, env: Env, depth: int = 0) -> bool:
    """Whether a value is an operation (or decides between operations)."""
    ctx.fuel -= 1
    if depth > 60 or ctx.fuel < 0:
        return False
    match node:
        case ast.Name():
            if len(node.parts) > 1:
                return False
            found = resolve(ctx, node.text, env)
            match found:
                case Builtin() | Member():
                    return True
                case Closure():
                    return is_op(ctx, found.node, found.env, depth + 1)
                case Piece():
                    return _defines_op(ctx, found.node, block_env(ctx.block, found), depth)
                case Def():
                    return _defines_op(ctx, found.node, Env(found.module), depth)
                case _:
                    return False
        case ast.Call():
            name = node.func.text if isinstance(node.func, ast.Name) else ""
            if name == "concat":
                return True
            found = resolve(ctx, name, env) if name and "." not in name else None
            if isinstance(found, Closure):
                return True
            return isinstance(found, Builtin | Member) or (
                isinstance(found, Def | Piece)
                and isinstance(found.node, ast.Op | ast.Cell | ast.Candidate)
            )
        case ast.Binary(op=">>"):
            return True
        case ast.Binary(op="+"):
            return is_op(ctx, node.left, env, depth + 1) or is_op(ctx, node.right, env, depth + 1)
        case ast.If():
            return is_op(ctx, node.then, env, depth + 1)
        case ast.Unary(op="one_of"):
            return _set_of_ops(ctx, node.operand, env, depth)
        case ast.Unary(op="fresh"):
            return is_op(ctx, node.operand, env, depth + 1)
        case _:
            return False


def _defines_op(ctx: Context, node: Any, env: Env, depth: int) -> bool:
    match node:
        case ast.Cell() | ast.Candidate():
            return True
        case ast.Op() | ast.Let():
            return is_op(ctx, node.value, env.bind(), depth + 1) or isinstance(node, ast.Op)
        case _:
            return False


def _set_of_ops(ctx: Context, node: ast.Value, env: Env, depth: int) -> bool:
    match node:
        case ast.SetOf():
            return is_op(ctx, node.items[0], env, depth + 1)
        case ast.Binary():
            return _set_of_ops(ctx, node.left, env, depth)
        case ast.Name():
            found = resolve(ctx, node.text, env)
            if isinstance(found, Closure):
                return _set_of_ops(ctx, found.node, found.env, depth)
            if isinstance(found, SetValue):
                first = found.items[0]
                return first.node is None or is_op(ctx, first.node, first.env, depth + 1)
            if isinstance(found, Def | Piece) and isinstance(found.node, ast.Ops):
                return True
            if isinstance(found, Def | Piece) and isinstance(found.node, ast.Let):
                inner = Env(found.module) if isinstance(found, Def) else block_env(ctx.block, found)
                return _set_of_ops(ctx, found.node.value, inner, depth + 1)
            return False
        case _:
            return False


__all__ = [
    "Given",
    "Item",
    "SetValue",
    "all_candidates",
    "argument",
    "as_set",
    "bind",
    "boolean",
    "integer",
    "is_op",
    "number",
    "ops_set",
    "parameter",
    "value",
]
