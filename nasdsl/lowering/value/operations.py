"""Whether a value is an operation, without evaluating it."""

from __future__ import annotations

from typing import Any

from nasdsl.lowering.blocks import Piece
from nasdsl.lowering.modules import Def
from nasdsl.lowering.scope import Builtin, Closure, Context, Env, Member, block_env, resolve
from nasdsl.lowering.value.kinds import SetValue
from nasdsl.syntax import ast


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
