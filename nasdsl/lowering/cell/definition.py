"""A cell definition: the statements it has and inherits, its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nasdsl.lowering.blocks import Piece
from nasdsl.lowering.modules import Def
from nasdsl.lowering.scope import Broken, Closure, Context, Env, resolve
from nasdsl.source import Span
from nasdsl.syntax import ast


@dataclass(eq=False, slots=True)
class Definition:
    """A cell definition: its statements from the oldest ancestor to the newest child."""

    name: str
    span: Span
    #: Statement, its scope, and the block of statements it belongs to.
    statements: list[tuple[ast.CellStmt, Env, int]] = field(default_factory=list)
    #: A statement was lost to a syntax error: what lacks may have stood there.
    partial: bool = False
    #: Parameters with the values they have here.
    params: dict[str, Any] = field(default_factory=dict)


def find(
    ctx: Context,
    name: str,
    env: Env,
    span: Span,
    given: Mapping[str, Any] | None = None,
) -> Definition:
    """The cell of a name with everything it inherits; `given` are its arguments. Raises Broken."""
    found = resolve(ctx, name, env)
    node = found.node if isinstance(found, Def | Piece) else None
    if not isinstance(node, ast.Cell):
        if name in env.module.lost:
            raise Broken
        raise ctx.fail("E101", span, f"unknown cell `{name}`")
    definition = Definition(name, node.name.span)
    _collect(ctx, found, definition, set(), given or {})
    return definition


def parameters(ctx: Context, name: str, env: Env) -> tuple[str, ...]:
    """Names of the parameters of a cell, inherited ones first."""
    found = resolve(ctx, name, env)
    names: list[str] = []

    def gather(found: Any, depth: int) -> None:
        node = found.node if isinstance(found, Def | Piece) else None
        if not isinstance(node, ast.Cell) or depth > 50:
            return
        if isinstance(found, Piece) and found.previous is not None:
            gather(found.previous, depth + 1)
        for parent in node.parents:
            above = resolve(ctx, parent.text, env)
            if above is not found:
                gather(above, depth + 1)
        names.extend(p.name.text for p in node.params if p.name.text not in names)

    gather(found, 0)
    return tuple(names)


def _collect(
    ctx: Context, found: Any, into: Definition, active: set[int], given: Mapping[str, Any]
) -> None:
    node = found.node
    if id(node) in active:
        raise ctx.fail("E114", node.name.span, f"cell `{node.name.text}` extends itself")
    active = active | {id(node)}
    if isinstance(found, Piece) and found.previous is not None:
        _collect(ctx, found.previous, into, active, given)
    env = Env(found.module) if isinstance(found, Def) else Env(found.origin.module, ctx.block)
    into.partial = into.partial or env.module.damaged(node.span)
    for parent in node.parents:
        above = resolve(ctx, parent.text, env)
        if isinstance(above, Piece) and above.node is node and above.previous is not None:
            above = above.previous
        if not isinstance(above, Def | Piece) or not isinstance(above.node, ast.Cell):
            if parent.text in env.module.lost:
                raise Broken
            raise ctx.fail("E101", parent.span, f"unknown cell `{parent.text}`")
        _collect(ctx, above, into, active, given)
    for param in node.params:
        name = param.name.text
        if name in given:
            into.params[name] = given[name]
        elif param.default is not None:
            into.params[name] = Closure(param.default, env)
        elif name not in into.params:
            raise ctx.fail("E111", param.span, f"cell parameter `{name}` has no value")
    for statement in node.body:
        # A child gives a parameter another value: `cell d extends c { k = 5 }`.
        name = statement.target.text if isinstance(statement, ast.Attr) else ""
        if isinstance(statement, ast.Attr) and name in into.params and name not in given:
            inherited = {name: into.params[name]}
            into.params[name] = Closure(statement.value, env.bind(**inherited))
    layer = 1 + max((n for _, _, n in into.statements), default=-1)
    into.statements.extend((s, env, layer) for s in node.body)


def input_count(definition: Definition) -> int:
    """How many inputs a cell has."""
    for statement, _, _ in reversed(definition.statements):
        if isinstance(statement, ast.In):
            return len(statement.inputs)
    return 0
