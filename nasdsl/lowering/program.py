"""A file as a whole: everything it defines, checked, and found by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir import cost
from nasdsl.ir.config import Settings
from nasdsl.ir.extension import NO_PLUGINS, Plugins
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.optable import OPS
from nasdsl.ir.requirement import Requirement
from nasdsl.ir.schema import BLOCKS
from nasdsl.ir.space import Decision, Network, Space
from nasdsl.lowering import networks, pairs
from nasdsl.lowering.blocks import Block
from nasdsl.lowering.config.configs import Configs
from nasdsl.lowering.elsewhere import VALUES, bundled_hint
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.modules import Def, Loader, Module, library
from nasdsl.lowering.requirements import measured, read, requirement
from nasdsl.lowering.scope import Context, Env
from nasdsl.lowering.value.shapes import SHAPES
from nasdsl.source import Source, Span
from nasdsl.syntax import ast

_FREE = frozenset(("stride", "width", "c_in", "supernet", "none", "concat", "sum", "mean", "mul"))
_FUNCTIONS = frozenset(("round_to", "exp", "min", "max", "pieces", *SHAPES))


@dataclass(slots=True)
class Program:
    """A loaded file: definitions by kind and name, and the diagnostics found so far."""

    module: Module
    diags: Diagnostics
    flat: Flattener
    sources: tuple[Source, ...] = ()
    _spaces: dict[Any, Space | None] = field(default_factory=dict)

    def names(self, kind: str) -> tuple[str, ...]:
        """Names of a kind that this file defines, in order."""
        return tuple(d.name for d in self.module.defined(kind))

    def imports(self) -> list[tuple[Module, list[tuple[str, str]]]]:
        """Every module reached, each with its imports: path written, key of the module."""
        found: dict[str, tuple[Module, list[tuple[str, str]]]] = {}
        todo = [self.module]
        while todo:
            module = todo.pop()
            if module.key in found:
                continue
            found[module.key] = (module, [(path, m.key) for path, m in module.imported])
            todo.extend(m for _, m in module.imported)
        return list(found.values())

    def find(self, kind: str, name: str) -> Def | None:
        """A definition this file defines or imports; `file.name` is looked up in that file."""
        place: Module | None = self.module
        *files, last = name.split(".")
        for part in files:
            place = place.files.get(part) if place is not None else None
        found = place.names.get(last) if place is not None else None
        return found if found is not None and found.kind == kind else None

    def space(
        self,
        name: str,
        overrides: Mapping[str, Any] | None = None,
        *,
        target: Mapping[str, Any] | None = None,
        genotype: Genotype | None = None,
    ) -> Space | None:
        """A space with parameters; None where it is broken (see `diags`)."""
        definition = self.find("space", name)
        if definition is None:
            return None
        return networks.space(
            self.diags,
            self.flat,
            definition,
            overrides,
            target_overrides=target,
            genotype=genotype,
        )

    def target(
        self, name: str, overrides: Mapping[str, Any] | None, genotype: Genotype
    ) -> Network | None:
        """The discrete network of a genotype alone; None where it is broken (see `diags`)."""
        definition = self.find("space", name)
        if definition is None:
            return None
        return networks.target(self.diags, self.flat, definition, overrides, genotype)

    def requirement(
        self, name: str, overrides: Mapping[str, Any] | None, text: str
    ) -> Requirement | None:
        """A condition on the architectures of a space; None where it is none (see `diags`)."""
        definition = self.find("space", name)
        block = self.flat.block(definition) if definition is not None else None
        node = read(text, self.diags)
        if block is None or node is None:
            return None
        ctx = Context(self.diags, self.flat, block, True, dict(overrides or {}))
        return requirement(ctx, node, Env(block.module, block))

    def settings(
        self,
        kind: str,
        name: str,
        *,
        space: Space | None = None,
        data: Block | None = None,
        changes: Mapping[str, Any] | None = None,
        network: Mapping[str, Any] | None = None,
    ) -> Settings | None:
        """A recipe, data set, split, train or suite, evaluated for a space where one is given."""
        definition = self.find(kind, name)
        if definition is None:
            return None
        configs = Configs(
            self.diags,
            self.flat,
            network,
            space.name if space else "",
            data,
            changes or {},
        )
        made = configs.settings(definition)
        block = self.flat.block(definition)
        if kind == "recipe" and made is not None and block is not None and space is not None:
            pairs.fits(self.diags, block, made, space)
        return made


def load(
    source: Source,
    key: str | None = None,
    *,
    paths: Sequence[Path] = (),
    diags: Diagnostics,
    plugins: Plugins = NO_PLUGINS,
) -> Program | None:
    """Read a source and its imports; None where it has no tree."""
    loader = Loader(library(paths), diags)
    module = loader.load(key or source.name, source)
    if module is None:
        return None
    sources = tuple(m.source for m in loader.modules.values() if m is not None)
    return Program(module, diags, Flattener(diags, plugins), sources)


def check(program: Program) -> None:
    """Check everything the file defines: names, inheritance, values, shapes, limits."""
    for definition in program.module.own:
        try:
            _definition(program, definition)
        except RecursionError:  # the bounds on depth come first; this is the net below them
            program.diags.add(
                "E116", definition.span, f"`{definition.name}` nests too deeply to be checked"
            )
    program.diags.sort(program.module.source)


def _definition(program: Program, definition: Def) -> None:
    match definition.kind:
        case "space":
            _space(program, definition)
        case "op" | "ops" | "candidate":
            _operation(program, definition)
        case "cell":
            _cell(program, definition.node, set(), definition.module)
        case kind if kind in BLOCKS:
            made = Configs(program.diags, program.flat).settings(definition)
            block = program.flat.block(definition)
            for piece in block.layers if block is not None else ():
                if isinstance(piece.node, ast.Require) and piece.origin is block:
                    measured(program.diags, piece.node)
            if kind == "suite" and made is not None:
                pairs.check_suite(program.diags, program.flat, definition, made)


def _space(program: Program, definition: Def) -> None:
    made = networks.space(program.diags, program.flat, definition)
    block = program.flat.block(definition)
    if block is None:
        return
    _parts(program, block)
    if made is None:
        return
    for piece in block.layers:
        if isinstance(piece.node, ast.Require):
            _require(program, made, piece.node)


def _parts(program: Program, block: Block) -> None:
    """Names in the operations and op sets that a space writes, used or not."""
    local = {*block.params, *(k[1] for k in block.pieces if k[0] in ("let", "op", "cell", "ops"))}
    for piece in block.all("ops"):
        if isinstance(piece.node, ast.Ops):
            local |= {c.name.text for c in piece.node.candidates if c.value is not None}
    for piece in (*block.all("op"), *block.all("ops")):
        if piece.origin is block and isinstance(piece.node, ast.Op | ast.Ops):
            _names_of(program, piece.node, local, block.module)
    for piece in block.all("cell"):
        if piece.origin is block:
            _cell(program, piece.node, local, block.module)
    for piece in block.all("let"):
        if piece.origin is block and isinstance(piece.node, ast.Let):
            _names(program, piece.node.value, (local,), block.module)


def _cell(program: Program, node: Any, outside: set[str], module: Module) -> None:
    """Names in a cell, used by a stage or not; a child's own names may be its parent's."""
    if not isinstance(node, ast.Cell):
        return
    for statement in node.body:
        if isinstance(statement, ast.Require):
            measured(program.diags, statement)
    if node.parents:
        return
    own = {p.name.text for p in node.params}
    own |= {s.name.text for s in node.body if isinstance(s, ast.Let)}
    local = (outside, own)
    for statement in node.body:
        match statement:
            case ast.In():
                for entry in statement.inputs:
                    if entry.prepare is not None:
                        _names(program, entry.prepare, local, module)
            case ast.Edge() if statement.op is not None:
                _names(program, statement.op, local, module)
            case ast.NodeDef() if statement.value is not None:
                _names(program, statement.value, local, module)
            case ast.Let() | ast.Attr():
                _names(program, statement.value, local, module)


def _require(program: Program, space: Space, node: ast.Require) -> None:
    """E506 for unknown measures; E505 where a limit leaves nothing."""
    value = node.value
    if not measured(program.diags, node):
        return
    if not isinstance(value, ast.Binary) or not isinstance(value.left, ast.Name):
        return
    measure = {"params": "params", "flops": "macs"}.get(value.left.text)
    if measure is None or not isinstance(value.right, ast.Number):
        return
    if not all(_independent(d) for d in space.decisions):
        return  # widths and depths: the smallest architecture is not the sum of smallest options
    limit = value.right.value
    largest = value.op in (">", ">=")
    found, labels = cost.extreme(space, measure, largest=largest)
    fits = {"<=": found <= limit, "<": found < limit, ">=": found >= limit, ">": found > limit}
    if not fits.get(value.op, True):
        size = space.size()
        of = f"{size:,}".replace(",", " ") if size is not None else "all"
        which = "largest" if largest else "smallest"
        using = f" with {', '.join(sorted(labels))}" if 0 < len(labels) <= 2 else ""
        amount = f"{found:,}".replace(",", " ")
        program.diags.add(
            "E505",
            node.span,
            f"leaves 0 of {of} architectures ({which}: {amount}{using})",
            help="lower the limit" if largest else "raise the limit",
        )


def _independent(decision: Decision) -> bool:
    """Whether costs add up over the options of a decision."""
    return decision.kind == "op" and not any(decision.nested)


def _operation(program: Program, definition: Def) -> None:
    """Names in an op that no space uses are checked too."""
    if isinstance(definition.node, ast.Op | ast.Ops):
        _names_of(program, definition.node, set(), definition.module)


_Locals = tuple[set[str], ...]


def _names_of(program: Program, node: ast.Op | ast.Ops, local: set[str], module: Module) -> None:
    if isinstance(node, ast.Op):
        params = {p.name.text for p in node.params}
        for param in node.params:
            if param.default is not None:
                _names(program, param.default, (local, params), module)
        _names(program, node.value, (local, params), module)
        return
    for parent in node.parents:
        _names(program, parent, (local,), module)
    own = {c.name.text for c in node.candidates}
    for candidate in node.candidates:
        name = candidate.name.text
        if candidate.value is not None:
            _names(program, candidate.value, (local, own), module)
        elif name not in local and not _is_op(name, module):
            where = f" in op set `{node.name.text}`"
            _unknown(program, name, candidate.name.span, module, where)


def _known(name: str, local: _Locals, module: Module) -> bool:
    return (
        any(name in names for names in local)
        or name in _FREE
        or name in OPS
        or name in _FUNCTIONS
        or name in module.names
    )


def _is_op(name: str, module: Module) -> bool:
    """Whether a candidate without a body has one elsewhere."""
    if name in OPS:
        return True
    known = module.names.get(name)
    return known is not None and (known.kind != "candidate" or _has_body(known.node))


def _has_body(node: Any) -> bool:
    return isinstance(node, ast.Candidate) and node.value is not None


def _names(program: Program, node: Any, local: _Locals, module: Module) -> None:
    match node:
        case ast.Name() if len(node.parts) == 1:
            if not _known(node.text, local, module) and node.text not in module.lost:
                _unknown(program, node.text, node.span, module)
        case ast.Unary():
            _names(program, node.operand, local, module)
        case ast.Binary():
            _names(program, node.left, local, module)
            _names(program, node.right, local, module)
        case ast.If():
            for part in (node.then, node.condition, node.otherwise):
                _names(program, part, local, module)
        case ast.Call():
            _names(program, node.func, local, module)
            for arg in node.args:
                _names(program, arg.value, local, module)
        case ast.ListOf() | ast.SetOf():
            for item in node.items:
                _names(program, item, local, module)


def _unknown(program: Program, name: str, span: Span, module: Module, where: str = "") -> None:
    if name in module.lost:
        return
    library = bundled_hint(name, VALUES)
    found = library or did_you_mean(name, [*module.names, *OPS, *_FREE], limit=0)
    if found is not None and library is None:
        known = module.names.get(found.split("`")[1])
        if known is not None:
            found += f" defined {known.span.source.name}:{known.span.line}"
    program.diags.add("E101", span, f"unknown op `{name}`{where}", help=found)
