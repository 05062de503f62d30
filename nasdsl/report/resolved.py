"""A definition with everything it inherits written out: `.nas` text that stands alone.

Nothing is hidden: parameters have the values they have, cells all their statements, phases all
their slots, and whatever is defined in other files is defined in the text as well. Checked again,
the text means exactly the same. Only names with a dot (`bench.wide` in a suite) keep their import.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.driver import Loaded, UnknownName
from nasdsl.ir.optable import OPS
from nasdsl.lowering.blocks import Block, Piece
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.modules import Def
from nasdsl.lowering.scope import Broken, Context, Env, block_env, resolve
from nasdsl.report.flat_cell import cell_text
from nasdsl.report.flat_config import config_text
from nasdsl.report.flat_space import op_text, space_text
from nasdsl.report.inline import Inliner, braces
from nasdsl.source import Source
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_module, format_value
from nasdsl.syntax.parser import parse


class ResolveError(ValueError):
    """Definitions of one name come together that cannot be renamed."""


def resolved(loaded: Loaded, kind: str, name: str) -> str:
    """A definition of a loaded file as text that stands alone. Raises UnknownName, ResolveError."""
    definition = loaded.program.find(kind, name)
    if definition is None:
        raise UnknownName(f"{loaded.source.name} has no {kind} `{name}`")
    try:
        return Resolver(loaded.program.flat).text(definition)
    except Broken:
        raise ResolveError(f"{kind} `{name}` is broken; `nasdsl check` says how") from None


#: Definitions in the order they are written: ops before the sets that have candidates of a name.
_ORDER = ("let", "op", "ops", "cell", "dataset", "split", "train", "recipe", "space", "suite")


class Resolver:
    """Writes a definition and what it needs, once each."""

    def __init__(self, flat: Flattener) -> None:
        self.flat = flat

    def text(self, main: Def) -> str:
        needed, pinned, _ = self._gather(main, {})
        names = _names(main, needed, pinned)
        _, _, files = self._gather(main, names)
        parts = [self._definition(d, Inliner(None, names)) for d in _sorted(main, needed)]
        imports = [_import(alias, module) for alias, module in files.items()]
        return _formatted("\n\n".join(["nas 1", *imports, *parts]) + "\n")

    def _gather(
        self, main: Def, names: dict[int, str]
    ) -> tuple[dict[int, Def], set[int], dict[str, Any]]:
        """Everything a definition needs, itself included; what keeps its name; used files."""
        needed: dict[int, Def] = {}
        pinned: set[int] = {id(main.node)}
        files: dict[str, Any] = {}
        todo = [main]
        waiting: list[Def] = []
        while todo or waiting:
            found = todo.pop() if todo else waiting.pop()
            if id(found.node) in needed:
                continue
            if found.kind == "candidate":
                if todo:
                    waiting.append(found)
                    continue
                owner = self._set_of(found, needed)
                if owner is None:
                    continue
                found = owner
            needed[id(found.node)] = found
            inliner = Inliner(None, names)
            self._definition(found, inliner)
            pinned |= inliner.pinned
            files.update(inliner.files)
            todo.extend(inliner.needed.values())
        return needed, pinned, files

    def _set_of(self, candidate: Def, needed: dict[int, Def]) -> Def | None:
        """The op set that brings a candidate; None where one that is needed anyway does."""
        for known in needed.values():
            if isinstance(known.node, ast.Ops):
                members = self._members(known.node, Env(known.module), None)
                if any(c is candidate.node for c, _ in members):
                    return None
        for found in candidate.module.names.values():
            if found.node is candidate.owner:
                return found
        return None

    # ---- definitions

    def _definition(self, found: Def, inliner: Inliner) -> str:
        """The text of a definition; what it refers to is noted in the inliner."""
        inliner.ctx = None
        name = inliner.names.get(id(found.node), found.name)
        node = found.node
        if isinstance(node, ast.Space):
            block = self._block(found)
            inliner.ctx = self._context(block)
            return space_text(block, inliner, self._ops)
        if isinstance(node, ast.Config):
            return config_text(self._block(found), inliner, self.flat)
        env = Env(found.module)
        if isinstance(node, ast.Let) and not self._of_space(found):
            return f"let {name} = {format_value(inliner(node.value, env))}"
        # No block: names are those of the file.
        inliner.ctx = self._context(Block("space", name, found.module, found.span))
        match node:
            case ast.Let():
                return f"let {name} = {format_value(inliner(node.value, env))}"
            case ast.Op():
                return op_text(node, name, env, inliner)
            case ast.Ops():
                return self._ops(node, name, env, None, inliner)
            case ast.Cell():
                return cell_text(name, found.name, env, inliner)
            case _:
                raise ResolveError(f"`{found.name}` cannot be written by itself")

    def _of_space(self, found: Def) -> bool:
        """Whether a `let` of a file holds operations, decisions or sets of them."""
        node = found.node
        if not isinstance(node, ast.Let):
            return False
        return any(_spatial(n, found) for n in _walk(node.value))

    def _block(self, found: Def) -> Block:
        block = self.flat.block(found)
        if block is None:
            raise ResolveError(f"`{found.name}` is broken")
        return block

    def _context(self, block: Block) -> Context:
        return Context(Diagnostics(), self.flat, block, True, {})

    # ---- op sets

    def _members(
        self, node: ast.Ops, env: Env, ctx: Context | None
    ) -> list[tuple[ast.Candidate, Env]]:
        """Members with inherited ones first, as `lowering.value.sets.ops_set` has them."""
        ctx = ctx or self._context(Block("space", "", env.module, node.span))
        found: list[tuple[ast.Candidate, Env]] = []
        for parent in node.parents:
            above = resolve(ctx, parent.text, env)
            if isinstance(above, Def | Piece) and isinstance(above.node, ast.Ops):
                inner = Env(above.module) if isinstance(above, Def) else block_env(ctx.block, above)
                if above.node is not node:
                    found += self._members(above.node, inner, ctx)
        for candidate in node.candidates:
            found = [(c, e) for c, e in found if c.name.text != candidate.name.text]
            found.append((candidate, env))
        return found

    def _ops(
        self, node: ast.Ops, name: str, env: Env, ctx: Context | None, inliner: Inliner
    ) -> str:
        lines = []
        for candidate, inner in self._members(node, env, ctx):
            label = candidate.name.text
            if candidate.value is None:
                self._by_name(label, inner, inliner)
                lines.append(label)
            else:
                lines.append(f"{label} = {format_value(inliner(candidate.value, inner))}")
        return braces(f"ops {name}", lines)

    @staticmethod
    def _by_name(label: str, env: Env, inliner: Inliner) -> None:
        """A candidate without a body is the op of its name."""
        if inliner.ctx is None:
            return
        for where in (env, Env(env.module)):
            found = resolve(inliner.ctx, label, where)
            if isinstance(found, Def) and isinstance(found.node, ast.Op):
                inliner.note(found, pin=True)
                return
            if isinstance(found, Piece) and isinstance(found.node, ast.Op):
                return


def _walk(node: Any) -> Iterable[Any]:
    """A value and everything inside it."""
    stack = [node]
    while stack:
        item = stack.pop()
        yield item
        for name in getattr(item, "__dataclass_fields__", {}):
            value = getattr(item, name)
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, ast.Node):
                    stack.append(part)
                elif isinstance(part, tuple):
                    stack.extend(p for p in part if isinstance(p, ast.Node))


def _spatial(node: Any, found: Def) -> bool:
    if isinstance(node, ast.IntDomain | ast.FloatDomain):
        return True
    if isinstance(node, ast.Unary):
        return node.op in ("one_of", "fresh")
    if isinstance(node, ast.Name) and len(node.parts) == 1:
        known = found.module.names.get(node.text)
        return node.text in OPS or (known is not None and known.kind in ("op", "ops", "candidate"))
    return False


# ---- names


def _names(main: Def, needed: dict[int, Def], pinned: set[int]) -> dict[int, str]:
    """New names where two definitions would have one; pinned ones keep theirs."""
    taken = {d.name: k for k, d in needed.items() if k in pinned}
    for key, found in needed.items():
        if key in pinned and taken[found.name] != key:
            other = needed[taken[found.name]]
            raise ResolveError(
                f"two definitions are called `{found.name}` ({other.span}, {found.span}) and "
                "neither can have another name"
            )
        if isinstance(found.node, ast.Ops):
            taken.update((c.name.text, key) for c in found.node.candidates)
    used = {d.name for d in needed.values()} | set(taken) | set(OPS)
    names: dict[int, str] = {}
    for key, found in needed.items():
        # A definition named like a primitive would change what others mean by it.
        if taken.setdefault(found.name, key) == key and (key in pinned or found.name not in OPS):
            continue
        n = 2
        while f"{found.name}_{n}" in used:
            n += 1
        names[key] = f"{found.name}_{n}"
        used.add(names[key])
    return names


def _sorted(main: Def, needed: dict[int, Def]) -> list[Def]:
    """Kind by kind; within a kind and file as written; what it is all for comes last."""
    rest = [d for d in needed.values() if d.node is not main.node]
    rest.sort(key=lambda d: (_ORDER.index(d.kind), d.module.source.name, d.span.start))
    return [*rest, needed[id(main.node)]]


def _import(alias: str, module: Any) -> str:
    target = module.files[alias]
    path = next((p for p, m in module.imported if m is target), None)
    if path is None:
        raise ResolveError(f"`{alias}` is no imported file")
    return f'import "{path}" as {alias}'


def _formatted(text: str) -> str:
    diags = Diagnostics()
    parsed = parse(Source.of("resolved", text), diags)
    diags.check()
    assert parsed is not None
    return format_module(parsed.module)
