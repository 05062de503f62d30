"""Orders of a data set's images in a split, and the folds of one."""

from __future__ import annotations

from array import array
from dataclasses import replace
from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.model import Label
from nasdsl.ir.config import Data, Word
from nasdsl.lowering.config.context import Context, Scope
from nasdsl.lowering.lists import Unusable
from nasdsl.lowering.scope import Broken
from nasdsl.syntax import ast

#: Functions of a split.
ORDERS = ("shuffle", "stratify", "files", "kfold")
#: More folds than this hold no image worth speaking of.
MAX_FOLDS = 10_000


def order(ctx: Context, name: str, node: ast.Call, scope: Scope) -> Data:
    """The value of one of `ORDERS`. Raises Broken."""
    match name:
        case "files":
            return _files(ctx, node, scope)
        case "kfold":
            return _fold(ctx, node, scope)
        case _:
            return _drawn(ctx, name, node, scope)


def _arguments(
    ctx: Context, name: str, node: ast.Call, first: str, known: tuple[str, ...]
) -> tuple[ast.Value | None, dict[str, ast.Value]]:
    """The argument without a name, and those with one. Raises Broken."""
    plain: ast.Value | None = None
    named: dict[str, ast.Value] = {}
    for arg in node.args:
        if arg.name is None and plain is None:
            plain = arg.value
        elif arg.name is None or arg.name not in known:
            given = f"`{arg.name}`" if arg.name else f"beside {first}"
            has = f"it has {', '.join(known)}" if known else f"it has {first} alone"
            raise ctx.fail("E303", arg.span, f"`{name}` has no argument {given}", has)
        else:
            named[arg.name] = arg.value
    return plain, named


def whole(ctx: Context, node: ast.Value | None, scope: Scope, call: ast.Node) -> Data:
    """A whole order: `data`, or one of `ORDERS` that no range was taken of. Raises Broken."""
    value = ctx.value(node, scope) if node is not None else Data()
    if isinstance(value, Word) and value.text == "data":
        value = Data()
    if not isinstance(value, Data):
        span = node.span if node is not None else call.span
        raise ctx.fail("E213", span, "an order of images is wanted: `data`, `shuffle(data)`, …")
    if node is not None and value != replace(value, **_UNCUT):
        raise ctx.fail("E404", node.span, "a part of an order has no parts of its own")
    return value


_UNCUT: dict[str, Any] = {
    "low": Fraction(0), "high": Fraction(1), "indices": False, "folds": 0, "outside": False,
}  # fmt: skip


def _drawn(ctx: Context, name: str, node: ast.Call, scope: Scope) -> Data:
    plain, named = _arguments(ctx, name, node, "`data`", ("seed",))
    if whole(ctx, plain, scope, node) != Data():
        raise ctx.fail("E404", node.span, f"`{name}` takes `data`, all of it")
    seed = ctx.number(named["seed"], scope) if "seed" in named else Fraction(0)
    return Data(order=name, seed=int(seed))


def _files(ctx: Context, node: ast.Call, scope: Scope) -> Data:
    plain, _ = _arguments(ctx, "files", node, "a path", ())
    path = ctx.value(plain, scope) if plain is not None else None
    if plain is None or not isinstance(path, str):
        raise ctx.fail("E304", node.span, '`files` takes a path in quotes: `files("train.txt")`')
    try:
        found = ctx.flat.lists.read(scope.module.key, path)
    except Unusable as error:
        labels = (Label(error.where, "here"),) if error.where is not None else ()
        ctx.diags.add("E407", plain.span, str(error), labels=labels)
        raise Broken from None
    return Data(order="files", path=path, chosen=array("q", found).tobytes())


def _fold(ctx: Context, node: ast.Call, scope: Scope) -> Data:
    plain, named = _arguments(ctx, "kfold", node, "an order", ("k", "fold", "without"))
    base = whole(ctx, plain, scope, node)
    if "k" not in named or ("fold" in named) == ("without" in named):
        raise ctx.fail(
            "E112",
            node.span,
            "`kfold` takes `k` and one of `fold` and `without`",
            "`kfold(data, k = 5, fold = 0)` is the first fifth, `without = 0` all but that",
        )
    chosen = "fold" if "fold" in named else "without"
    k, fold = ctx.number(named["k"], scope), ctx.number(named[chosen], scope)
    if k.denominator != 1 or not 2 <= k <= MAX_FOLDS:
        raise ctx.fail("E404", named["k"].span, f"`k` is a whole number, 2 to {MAX_FOLDS}")
    if fold.denominator != 1 or not 0 <= fold < k:
        raise ctx.fail(
            "E404", named[chosen].span, f"`{chosen}` is a whole number, 0 to {int(k) - 1}"
        )
    return replace(
        base, low=fold / k, high=(fold + 1) / k, folds=int(k), outside=chosen == "without"
    )
