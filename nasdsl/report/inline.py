"""Values taken out of their files: every name that a file gives meaning is followed.

What a value refers to outside its block is noted, so that it can be written beside it; a name
that means what an inherited piece replaced (`n = … n …`) is replaced by that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from nasdsl.lowering.blocks import Block
from nasdsl.lowering.modules import Def
from nasdsl.lowering.scope import Closure, Context, Env, resolve
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value

T = TypeVar("T")
BLOCKS = frozenset({"space", "recipe", "dataset", "split", "train", "suite"})


class _Local:
    """A name that is defined where it is used: a parameter of an op, a `let` of a cell."""


LOCAL = _Local()


def local(env: Env, names: Any) -> Env:
    """The scope with names of its own."""
    return env.bind(**dict.fromkeys(names, LOCAL))


@dataclass(slots=True)
class Inliner:
    """Rewrites values; `needed` are the definitions they refer to, in order."""

    ctx: Context | None
    names: dict[int, str]
    needed: dict[int, Def] = field(default_factory=dict)
    #: Definitions that may have no other name: it is a label, or is shown somewhere.
    pinned: set[int] = field(default_factory=set)
    #: Files whose names are used with a dot: alias.
    files: dict[str, Any] = field(default_factory=dict)

    def note(self, found: Def, *, pin: bool = False) -> str:
        """Remember a definition; what it is called in the new text."""
        self.needed.setdefault(id(found.node), found)
        if pin:
            self.pinned.add(id(found.node))
        return self.names.get(id(found.node), found.name)

    def optional(self, node: ast.Value | None, env: Env) -> ast.Value | None:
        return None if node is None else self(node, env)

    def __call__(self, node: T, env: Env, *, pin: bool = False) -> T:
        """A value in a scope, rewritten."""
        return self._value(node, env, pin)  # type: ignore[no-any-return]

    def _value(self, node: Any, env: Env, pin: bool = False) -> Any:
        match node:
            case ast.Name():
                return self._name(node, env, pin)
            case ast.Unary():
                return replace(node, operand=self._value(node.operand, env, pin))
            case ast.Binary():
                left, right = self._value(node.left, env), self._value(node.right, env)
                return replace(node, left=left, right=right)
            case ast.If():
                return replace(
                    node,
                    then=self._value(node.then, env),
                    condition=self._value(node.condition, env),
                    otherwise=self._value(node.otherwise, env),
                )
            case ast.Call():
                return replace(
                    node,
                    func=self._value(node.func, env, pin),
                    args=tuple(self._value(a, env) for a in node.args),
                )
            case ast.Arg():
                to = None if node.to is None else self._value(node.to, env)
                return replace(node, value=self._value(node.value, env), to=to)
            case ast.Range():
                return replace(
                    node, low=self._value(node.low, env), high=self._value(node.high, env)
                )
            case ast.Subscript():
                return replace(
                    node, base=self._value(node.base, env), index=self._value(node.index, env)
                )
            case ast.IntDomain():
                step = None if node.step is None else self._value(node.step, env)
                low, high = self._value(node.low, env), self._value(node.high, env)
                return replace(node, low=low, high=high, step=step)
            case ast.FloatDomain():
                return replace(
                    node, low=self._value(node.low, env), high=self._value(node.high, env)
                )
            case ast.ListOf():
                return replace(node, items=tuple(self._value(i, env) for i in node.items))
            case ast.SetOf():
                # The members' texts are the labels of a decision.
                return replace(node, items=tuple(self._value(i, env, True) for i in node.items))
            case ast.MapOf():
                pairs = tuple((k, self._value(v, env)) for k, v in node.items)
                return replace(node, items=pairs)
            case _:
                return node

    def _name(self, node: ast.Name, env: Env, pin: bool) -> Any:
        if self.ctx is None:
            return self._config_name(node, env)
        first = node.parts[0]
        found = resolve(self.ctx, first, env)
        if isinstance(found, Closure) and first in env.locals and len(node.parts) == 1:
            return self._value(found.node, found.env, pin)
        if isinstance(found, Def):
            name = self.note(found, pin=pin or found.kind in BLOCKS)
            return replace(node, parts=(name, *node.parts[1:]))
        return node

    def _config_name(self, node: ast.Name, env: Env) -> ast.Name:
        """In settings a name of a file is a `let` or a block; every other word is itself."""
        first, block = node.parts[0], env.block
        if first in env.locals or (block is not None and self._of_block(first, block)):
            return node
        if len(node.parts) > 1:
            kinds = ("network", "data", "search", "retrain", "test")
            if first in env.module.files and first not in kinds:
                self.files[first] = env.module
            return node
        found = env.module.names.get(first)
        if found is None or found.kind not in ("let", *BLOCKS) or first == "none":
            return node
        name = self.note(found, pin=found.kind != "let")
        return replace(node, parts=(name,))

    @staticmethod
    def _of_block(name: str, block: Block) -> bool:
        return name in block.params or block.get("let", name) is not None


def end(inliner: Inliner, node: ast.End, env: Env) -> ast.End:
    """An end of an edge: only its index holds values."""
    if node.index is None or isinstance(node.index, ast.Earlier):
        return node
    return replace(node, index=inliner(node.index, env))


def attr(node: ast.Attr, env: Env, inliner: Inliner) -> str:
    return f"{node.target.text} = {format_value(inliner(node.value, env))}"


def braces(head: str, lines: Sequence[str]) -> str:
    if not lines:
        return f"{head} {{}}"
    return "\n".join([f"{head} {{", *lines, "}"])
