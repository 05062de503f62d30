"""What a name means where it stands, and the state one elaboration shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from nasdsl.diagnostics.model import Diagnostics
from nasdsl.ir.cell import Cell
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.op import Op
from nasdsl.ir.optable import OPS
from nasdsl.ir.requirement import Requirement
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Decision, TableRules
from nasdsl.lowering.blocks import Block, Piece
from nasdsl.lowering.flattening import Flattener
from nasdsl.lowering.modules import Def, Module
from nasdsl.source import Span
from nasdsl.syntax import ast

#: How deep values and operations may nest once names are followed.
MAX_LEVEL = 120
#: How often a definition may stand in itself, as in `residual(residual(f))`.
MAX_OPEN = 12
#: Values and operations that one network may need.
MAX_STEPS = 150_000


class Broken(Exception):
    """A part could not be elaborated; its diagnostic is already recorded."""


@dataclass(frozen=True, slots=True)
class Closure:
    """A value not yet evaluated, with the scope it was written in.

    `identity` is the decision identity of a `let`; an argument has none and takes the place's.
    """

    node: ast.Value
    env: Env
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class Env:
    """Where names are looked up: locals, then the block, then the file, then the built-ins."""

    module: Module
    block: Block | None = None
    locals: Mapping[str, Any] = field(default_factory=dict)

    def bind(self, **names: Any) -> Env:
        return replace(self, locals={**self.locals, **names})


@dataclass(frozen=True, slots=True)
class Place:
    """The place an operation stands at: what it may ask for, and the identity of decisions."""

    stride: int
    width: int
    c_in: int
    identity: str
    table: str
    stage: str
    #: Inside a cell or an alternative: batch-norm has no affine parameters in the supernet.
    searched: bool = False

    def inside(self, part: str) -> Place:
        return replace(self, identity=f"{self.identity}.{part}")


@dataclass(slots=True)
class Context:
    """The state of one elaboration of one space: which network, which picks, what was found."""

    diags: Diagnostics
    flat: Flattener
    block: Block
    supernet: bool
    overrides: Mapping[str, Any]
    genotype: Genotype | None = None
    decisions: dict[str, Decision] = field(default_factory=dict)
    rules: dict[str, TableRules] = field(default_factory=dict)
    #: What cells require, by table and text.
    requires: dict[tuple[str, str], Requirement] = field(default_factory=dict)
    #: Decisions of the alternative being elaborated, innermost last.
    nesting: list[list[Decision]] = field(default_factory=list)
    #: Which piece of syntax owns an identity.
    owners: dict[str, int] = field(default_factory=dict)
    #: Set by `networks`: elaborates a cell used as an operation.
    nest: Callable[[str, Env, Place, Shape, Span, bool], Op] | None = None
    cells: dict[Any, Cell] = field(default_factory=dict)
    depth: int = 0
    #: How many decisions among values were asked for so far.
    decided: int = 0
    #: How many decisions have been made and cells nested; bodies that make none are kept.
    made: int = 0
    bodies: dict[Any, Op] = field(default_factory=dict)
    #: How deep values and operations nest just now, and how many steps are left.
    level: int = 0
    #: How often a definition is being expanded just now: `residual(residual(f))` is fine.
    open: dict[int, int] = field(default_factory=dict)
    #: Candidates of the op sets of the block.
    members: dict[str, Member] | None = None
    fuel: int = MAX_STEPS
    #: What decisions among values are set to where no genotype picks: `lowering.variation` turns them.
    settings: Mapping[str, str] = field(default_factory=dict)
    #: The label that every decision among values has in this elaboration.
    chosen: dict[str, str] = field(default_factory=dict)

    def picked(self, identity: str) -> str | None:
        """What a decision among values is set to, by the genotype or the settings."""
        found = self.genotype.of(identity) if self.genotype is not None else ()
        return found[0] if found else self.settings.get(identity)

    @contextmanager
    def expanding(self, node: ast.Node, name: str, span: Span) -> Iterator[None]:
        """E114 where a definition is used inside itself, again and again."""
        count = self.open.get(id(node), 0)
        if count >= MAX_OPEN:
            raise self.fail(
                "E114",
                span,
                f"`{name}` uses itself",
                "there is no recursion; `repeat` repeats, cells nest",
            )
        self.open[id(node)] = count + 1
        try:
            yield
        finally:
            self.open[id(node)] = count

    def enter(self, span: Span) -> None:
        """One step deeper; E114 and E116 keep a circle or an explosion from running on."""
        self.fuel -= 1
        if self.fuel < 0:
            self.diags.add(
                "E116",
                self.block.span,
                f"`{self.block.name}` is too large: more than {MAX_STEPS:,} steps to build".replace(
                    ",", " "
                ),
                help="look for repeats in repeats, and for definitions that use others twice",
            )
            raise Broken
        if self.level >= MAX_LEVEL:
            raise self.fail(
                "E114",
                span,
                f"this nests more than {MAX_LEVEL} levels deep: does a definition use itself?",
                "there is no recursion; `repeat` repeats, cells nest",
            )
        self.level += 1

    def fail(self, code: str, span: Span, message: str, help: str | None = None) -> Broken:
        """Record an error; the caller raises what comes back."""
        self.diags.add(code, span, message, help=help)
        return Broken()

    def identity(self, wanted: str, node: ast.Node) -> str:
        """An identity for the decision that `node` makes; equal wishes get a number."""
        self.made += 1
        name, n = wanted, 1
        while self.owners.setdefault(name, id(node)) != id(node):
            n += 1
            name = f"{wanted}.{n}"
        return name

    def record(self, decision: Decision) -> None:
        """Keep a decision once: at the top, or below the alternative it is conditional on."""
        if self.nesting and decision.table == "":
            if all(d.id != decision.id for d in self.nesting[-1]):
                self.nesting[-1].append(decision)
            return
        self.decisions.setdefault(decision.id, decision)


# ---- names


def block_env(block: Block, piece: Piece) -> Env:
    """The scope of a piece of a block: names are the child's, the file is the writer's.

    The piece's own name means what it replaced.
    """
    env = Env(piece.origin.module, block)
    if piece.previous is not None and len(piece.key) > 1:
        before = piece.previous
        value = piece_value(before)
        if value is not None:
            env = env.bind(**{piece.key[-1]: Closure(value, block_env(block, before))})
    elif piece.key[0] == "set":
        param = block.params.get(piece.key[1])
        if param is not None and isinstance(param.node, ast.Param) and param.node.default:
            inherited = Closure(param.node.default, Env(param.origin.module, block))
            env = env.bind(**{piece.key[1]: inherited})
    return env


def piece_value(piece: Piece) -> ast.Value | None:
    """The value a piece writes."""
    match piece.node:
        case ast.Attr() | ast.Let() | ast.Op():
            return piece.node.value
        case ast.Param():
            return piece.node.default
        case _:
            return None


def parameter(ctx: Context, name: str) -> Any:
    """A parameter of the block: an override, what a child set, or the default; else None."""
    if name in ctx.overrides:
        return ctx.overrides[name]
    piece = ctx.block.get("set", name) or ctx.block.params.get(name)
    if piece is None:
        return None
    value = piece_value(piece)
    return None if value is None else Closure(value, block_env(ctx.block, piece))


def resolve(ctx: Context, name: str, env: Env) -> Any:
    """What a name means: a local, a Closure, a Piece, a Def, a built-in op, or None.

    `file.name` is what the file that is imported as `file` defines.
    """
    if "." in name:
        place: Module | None = env.module
        *files, name = name.split(".")
        for part in files:
            place = place.files.get(part) if place is not None else None
        return place.names.get(name) if place is not None else None
    if name in env.locals:
        return env.locals[name]
    if env.block is not None:
        if name in ctx.block.params:
            value = parameter(ctx, name)
            return Missing(name) if value is None else value
        for kind in ("let", "op", "cell", "ops"):
            piece = ctx.block.get(kind, name)
            if piece is not None:
                return piece
        if ctx.members is None:
            ctx.members = _members(ctx.block)
        if name in ctx.members:
            return ctx.members[name]
    found = env.module.names.get(name)
    if found is not None:
        return found
    if name in OPS:
        return Builtin(name)
    return None


@dataclass(frozen=True, slots=True)
class Missing:
    """A parameter without a value."""

    name: str


@dataclass(frozen=True, slots=True)
class Builtin:
    """A primitive of the op table, by name."""

    kind: str


@dataclass(frozen=True, slots=True)
class Member:
    """A candidate of an op set of the block."""

    label: str
    value: ast.Value | None
    piece: Piece


def _members(block: Block) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for piece in block.all("ops"):
        if isinstance(piece.node, ast.Ops):
            for candidate in piece.node.candidates:
                name = candidate.name.text
                found.setdefault(name, Member(name, candidate.value, piece))
    return found


def known_ops(ctx: Context, env: Env) -> list[str]:
    """Names that may stand where an operation is wanted, for did-you-mean."""
    names = [n for n, d in env.module.names.items() if d.kind in ("op", "candidate", "cell", "ops")]
    if env.block is not None:
        names += [p.key[1] for k in ("op", "cell", "ops", "let") for p in ctx.block.all(k)]
        names += [
            c.name.text
            for p in ctx.block.all("ops")
            if isinstance(p.node, ast.Ops)
            for c in p.node.candidates
        ]
        names += list(ctx.block.params)
    return [*names, *env.locals, *OPS, "concat"]


def where_defined(ctx: Context, env: Env, name: str) -> str:
    """` defined darts.nas:20`, for a suggestion."""
    found = resolve(ctx, name, env)
    span = found.span if isinstance(found, Def | Piece) else None
    if isinstance(found, Member) and isinstance(found.piece.node, ast.Ops):
        span = next((c.span for c in found.piece.node.candidates if c.name.text == name), None)
    return f" defined {span.source.name}:{span.line}" if span is not None else ""


def whole(value: Any) -> int | None:
    """A whole number, or None."""
    if isinstance(value, Fraction) and value.denominator == 1:
        return int(value)
    return None
