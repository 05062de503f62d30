"""Inheritance: a block with everything it inherits, flat, each piece with its origin.

A piece (parameter, attribute, op, cell statement, …) is written in one block and inherited by
others. Several parents may not disagree: of two values the one written in a block that extends
the other's block wins; otherwise the child must write it (language reference, section 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nasdsl.diagnostics.model import Diagnostics, Label
from nasdsl.diagnostics.suggest import did_you_mean, nearest
from nasdsl.ir.extension import NO_PLUGINS, Plugins
from nasdsl.lowering.elsewhere import BLOCKS, bundled_hint
from nasdsl.lowering.merging import merge
from nasdsl.lowering.modules import Def, Module, hides
from nasdsl.source import Span
from nasdsl.syntax import ast
from nasdsl.syntax.formatting.formatter import format_value
from nasdsl.syntax.reserved import RESERVED

#: How many blocks may extend one another in a row.
MAX_PARENTS = 50


@dataclass(eq=False, slots=True)
class Piece:
    """One inherited thing: its syntax, where it was written, and what it replaced."""

    key: tuple[str, ...]
    node: ast.Node
    span: Span
    origin: Block
    previous: Piece | None = None


@dataclass(eq=False, slots=True)
class Block:
    """A flat block. `pieces` are keyed by kind and name, in order of first appearance."""

    kind: str
    name: str
    module: Module
    span: Span
    params: dict[str, Piece] = field(default_factory=dict)
    pieces: dict[tuple[str, ...], Piece] = field(default_factory=dict)
    #: Statements that add up instead of replacing: cell statements and `require`.
    layers: list[Piece] = field(default_factory=list)
    ancestors: set[int] = field(default_factory=set)
    children: dict[str, Block] = field(default_factory=dict)
    parents: list[Block] = field(default_factory=list)
    #: Keys of parts of a value: `weights.lr`.
    parts: set[tuple[str, ...]] = field(default_factory=set)
    #: Some of it was lost to mistakes that are reported already: what lacks may be there.
    partial: bool = False
    #: A parent is missing, so anything may be.
    orphan: bool = False

    def all(self, kind: str) -> list[Piece]:
        """Pieces of a kind, in order."""
        return [p for p in self.pieces.values() if p.key[0] == kind]

    def get(self, *key: str) -> Piece | None:
        return self.pieces.get(key)


class Flattener:
    """Flattens blocks on demand, each definition once."""

    def __init__(self, diags: Diagnostics, plugins: Plugins = NO_PLUGINS) -> None:
        self.diags = diags
        #: Components in Python that the program may use.
        self.plugins = plugins
        self.done: dict[int, Block | None] = {}
        self.active: set[int] = set()

    def block(self, definition: Def) -> Block | None:
        """The flat block of a space, recipe, dataset, split, train or suite."""
        key = id(definition.node)
        if key in self.done:
            return self.done[key]
        node = definition.node
        if not isinstance(node, ast.Space | ast.Config):
            return None
        if key in self.active:
            self.diags.add(
                "E106",
                definition.span,
                f"`{definition.name}` extends itself",
                help="a circle of `extends` has no beginning; take one of them out",
            )
            return None
        if len(self.active) >= MAX_PARENTS:
            self.diags.add(
                "E116",
                definition.span,
                f"more than {MAX_PARENTS} blocks extend one another in a row",
                help="take some of them together",
            )
            return None
        self.active.add(key)
        parents = self._parents(definition, node.parents)
        block = Block(definition.kind, definition.name, definition.module, definition.span)
        block.orphan = len(parents) < len(node.parents) or any(p.orphan for p, _ in parents)
        block.partial = (
            block.orphan
            or any(p.partial for p, _ in parents)
            or definition.module.damaged(node.span)
        )
        self._inherit(block, parents, node)
        self._params(block, node.params)
        for statement in node.body:
            self._statement(block, statement)
        self.active.discard(key)
        self.done[key] = block
        return block

    def _parents(self, definition: Def, names: tuple[ast.Name, ...]) -> list[tuple[Block, Span]]:
        found = []
        for name in names:
            parent = lookup(definition.module, name, self.diags, f"{definition.kind} to extend")
            if parent is None:
                continue
            if parent.kind != definition.kind:
                article = "an" if parent.kind[0] in "aeiou" else "a"
                plural = "recipes" if definition.kind == "recipe" else f"{definition.kind}s"
                self.diags.add(
                    "E108",
                    name.span,
                    f"`{name.text}` is {article} {parent.kind}; "
                    f"a {definition.kind} can extend only {plural}",
                )
                continue
            block = self.block(parent)
            if block is not None:
                found.append((block, name.span))
        return found

    def _inherit(
        self, block: Block, parents: list[tuple[Block, Span]], node: ast.Space | ast.Config
    ) -> None:
        block.parents = [p for p, _ in parents]
        for parent, _ in parents:
            block.parts |= parent.parts
            block.ancestors |= {id(parent), *parent.ancestors}
            for name, piece in parent.params.items():
                block.params.setdefault(name, piece)
        written = _written(node)
        keys = dict.fromkeys(key for parent, _ in parents for key in parent.pieces)
        for key in keys:
            values = [(p.pieces[key], span) for p, span in parents if key in p.pieces]
            winner = self._dominant(values)
            disagreeing = (values[0][0], values[-1][0])
            if winner is None and key[0] == "cell":
                merged = merge([p for p, _ in values], _cell_of(node, key[1]))
                if isinstance(merged, Piece):
                    winner = merged
                else:
                    disagreeing = merged
            if winner is None and (key[0] == "cell" or not _covers(written, key)):
                first, second = disagreeing
                label = ".".join(key[1:]) or key[0]
                self.diags.add(
                    "E104",
                    values[-1][1],
                    f"both parents change `{label}`",
                    help=f"{_source_of(first)}, {_source_of(second)}; {_say(key, label)} here",
                    labels=(
                        Label(first.span, f"in `{first.origin.name}`"),
                        Label(second.span, f"in `{second.origin.name}`"),
                    ),
                )
            block.pieces[key] = winner or values[0][0]
        self._paths(block, parents, written)
        seen: set[int] = set()
        for parent, _ in parents:
            for layer in parent.layers:
                if id(layer) not in seen:
                    seen.add(id(layer))
                    block.layers.append(layer)

    def _paths(
        self, block: Block, parents: list[tuple[Block, Span]], written: set[tuple[str, ...]]
    ) -> None:
        """A whole value and a part of it, from unrelated parents, disagree as well."""
        if len(parents) < 2:
            return
        for key, piece in list(block.pieces.items()):
            for cut in range(2, len(key)):
                whole = block.pieces.get(key[:cut])
                if whole is None or _related(whole.origin, piece.origin):
                    continue
                if not _covers(written, key[:cut]):
                    self.diags.add(
                        "E104",
                        parents[-1][1],
                        f"one parent sets `{'.'.join(key[1:cut])}`, the other "
                        f"`{'.'.join(key[1:])}`",
                        help=f"say `{'.'.join(key[1:cut])} = …` here",
                        labels=(
                            Label(whole.span, f"the whole, in `{whole.origin.name}`"),
                            Label(piece.span, f"a part, in `{piece.origin.name}`"),
                        ),
                    )

    @staticmethod
    def _dominant(values: list[tuple[Piece, Span]]) -> Piece | None:
        """The piece whose block extends the blocks of all others."""
        pieces = list({id(p): p for p, _ in values}.values())
        for piece in pieces:
            others = (p for p in pieces if p is not piece)
            if all(
                id(o.origin) in piece.origin.ancestors or o.origin is piece.origin for o in others
            ):
                return piece
        return None

    def _params(self, block: Block, params: tuple[ast.Param, ...]) -> None:
        for param in params:
            earlier = block.params.get(param.name.text)
            if earlier is not None and earlier.origin is block:
                self._twice(param.name, earlier)
                continue
            # An inherited parameter may be repeated: the header gives it another default.
            block.pieces.pop(("set", param.name.text), None)
            block.params[param.name.text] = Piece(
                ("param", param.name.text), param, param.name.span, block
            )

    def _twice(self, name: ast.Ident | ast.Name, earlier: Piece) -> None:
        line, column = earlier.span.source.location(earlier.span.start)
        inherited = "inherited" if earlier.node.span.source is not name.span.source else "set"
        self.diags.add(
            "E102",
            name.span,
            f"`{name.text}` is set twice",
            help=f"first {inherited} at {line}:{column}; keep one",
            labels=(Label(earlier.span, "first here"),),
        )

    def _put(self, block: Block, key: tuple[str, ...], node: ast.Node, span: Span) -> None:
        earlier = block.pieces.get(key)
        if earlier is not None and earlier.origin is block:
            self._twice(ast.Name(span=span, parts=key[1:] or key), earlier)
            return
        # A whole replaces what was inherited for its parts.
        for other in [k for k in block.parts if len(k) > len(key) and k[: len(key)] == key]:
            if other in block.pieces and block.pieces[other].origin is not block:
                del block.pieces[other]
        if len(key) > 2:
            block.parts.add(key)
        block.pieces[key] = Piece(key, node, span, block, earlier)

    def _statement(self, block: Block, node: ast.Node) -> None:
        match node:
            case ast.Attr():
                self._attr(block, node)
            case ast.Let() | ast.Op():
                kind = type(node).__name__.lower()
                hides(node.name.text, node, self.diags)
                self._name(block, node.name)
                self._put(block, (kind, node.name.text), node, node.name.span)
            case ast.Ops():
                hides(node.name.text, node, self.diags)
                self._name(block, node.name)
                self._put(block, ("ops", node.name.text), node, node.name.span)
            case ast.Cell():
                self._cell(block, node)
            case ast.Phase():
                self._phase(block, node)
            case ast.Require():
                block.layers.append(Piece(("require",), node, node.span, block))
            case ast.Target():
                self._put(block, ("target",), node, node.span)
            case ast.Input():
                self._put(block, ("input",), node, node.span)
            case ast.Stem() | ast.Stage() | ast.Repeat() | ast.Head():
                part = {"Stem": "stems", "Head": "heads"}.get(type(node).__name__, "body")
                earlier = block.pieces.get((part,))
                if earlier is None or earlier.origin is not block:
                    block.pieces[(part,)] = Piece((part,), _Group(span=node.span), node.span, block)
                group = block.pieces[(part,)].node
                if isinstance(group, _Group):
                    group.items.append(node)

    def _name(self, block: Block, name: ast.Ident) -> None:
        for kind in ("let", "op", "ops", "cell"):
            earlier = block.pieces.get((kind, name.text))
            if earlier is not None and earlier.origin is block:
                self._twice(name, earlier)
        if name.text in block.params:
            self._twice(name, block.params[name.text])

    def _attr(self, block: Block, node: ast.Attr) -> None:
        path = node.target.parts
        if len(path) == 1 and path[0] in block.params:
            self._put(block, ("set", path[0]), node, node.target.span)
            return
        if block.kind == "space" and path[0] not in ("width", "genotype"):
            if path[0] not in RESERVED and not block.orphan:
                parent = block.parents[0].name if block.parents else block.name
                self.diags.add(
                    "E103",
                    node.target.span,
                    f"space `{parent}` has no parameter `{node.target.text}`",
                    help=has(path[0], block.params, ("width", "genotype")),
                )
            return
        self._put(block, ("attr", *path), node, node.target.span)

    def _cell(self, block: Block, node: ast.Cell) -> None:
        name = node.name.text
        key = ("cell", name)
        earlier = block.pieces.get(key)
        if earlier is not None and earlier.origin is block:
            self._twice(node.name, earlier)
            return
        block.pieces[key] = Piece(key, node, node.name.span, block, earlier)

    def _phase(self, block: Block, node: ast.Phase) -> None:
        key = ("phase", node.name.text)
        earlier = block.pieces.get(key)
        if earlier is not None and earlier.origin is block:
            self._twice(node.name, earlier)
            return
        block.pieces[key] = Piece(key, node, node.name.span, block, earlier)


@dataclass(frozen=True, kw_only=True)
class _Group(ast.Node):
    """The stems, the body or the heads of a network, which are inherited as one."""

    items: list[ast.Node] = field(default_factory=list)


def group(block: Block, part: str) -> list[ast.Node]:
    """The statements of `stems`, `body` or `heads`, in order."""
    piece = block.pieces.get((part,))
    return list(piece.node.items) if piece and isinstance(piece.node, _Group) else []


def _related(a: Block, b: Block) -> bool:
    return a is b or id(a) in b.ancestors or id(b) in a.ancestors


def _written(node: ast.Space | ast.Config) -> set[tuple[str, ...]]:
    """Keys that a block writes itself."""
    keys: set[tuple[str, ...]] = set()
    for statement in node.body:
        match statement:
            case ast.Attr():
                keys.add(("attr", *statement.target.parts))
                keys.add(("set", *statement.target.parts))
            case ast.Let() | ast.Op() | ast.Ops() | ast.Cell() | ast.Phase():
                keys.add((type(statement).__name__.lower(), statement.name.text))
            case ast.Target():
                keys.add(("target",))
            case ast.Input():
                keys.add(("input",))
            case ast.Stem():
                keys.add(("stems",))
            case ast.Head():
                keys.add(("heads",))
            case ast.Stage() | ast.Repeat():
                keys.add(("body",))
    return keys


def _cell_of(node: ast.Space | ast.Config, name: str) -> ast.Cell | None:
    """What a block itself says of a cell."""
    found = (s for s in node.body if isinstance(s, ast.Cell) and s.name.text == name)
    return next(found, None)


def _source_of(piece: Piece) -> str:
    """`` `random` robust.nas:6 ``: what a piece says and where."""
    value = piece.node.value if isinstance(piece.node, ast.Attr | ast.Let) else None
    if isinstance(value, ast.Call):
        value = value.func
    text = format_value(value) if value is not None else piece.origin.name
    shown = text if len(text) <= 24 else piece.origin.name
    return f"`{shown}` {piece.span.source.name.rpartition('/')[2]}:{piece.span.line}"


def _say(key: tuple[str, ...], label: str) -> str:
    """What to write where parents disagree."""
    match key[0]:
        case "attr" | "set":
            return f"say `{label} = …`"
        case "let" | "op":
            return f"say `{key[0]} {label} = …`"
        case "cell" | "ops" | "phase":
            return f"write `{key[0]} {label} {{ … }}`"
        case "target":
            return "write `target { … }`"
        case _:
            return f"write the {label}"


def has(word: str, names: Iterable[str], more: Iterable[str] = ()) -> str | None:
    """A help line for an unknown parameter: a near miss, and what there is."""
    known = list(names)
    near = nearest(word, [*known, *more])
    listed = "it has " + ", ".join(known) if known else None
    if near is None:
        return listed
    return f"did you mean `{near}`?" + (f" {listed}" if listed else "")


def _covers(written: Iterable[tuple[str, ...]], key: tuple[str, ...]) -> bool:
    return any(key[: len(w)] == w for w in written)


def lookup(module: Module, name: ast.Name, diags: Diagnostics, what: str) -> Def | None:
    """A definition by its plain or dotted name; E101 where there is none."""
    place = module
    for part in name.parts[:-1]:
        inner = place.files.get(part)
        if inner is None:
            if part not in place.lost:
                diags.add(
                    "E101",
                    name.span,
                    f"unknown file name `{part}`",
                    help=did_you_mean(part, place.files),
                )
            return None
        place = inner
    found = place.names.get(name.parts[-1])
    if found is None and name.parts[-1] not in place.lost:
        kind = what.split()[0]
        same = [n for n, d in place.names.items() if d.kind == kind] or list(place.names)
        library = None
        if len(name.parts) == 1:
            library = bundled_hint(name.text, (kind,) if kind in BLOCKS else BLOCKS)
        near = library or did_you_mean(name.parts[-1], same)
        diags.add("E101", name.span, f"unknown {what}: `{name.text}`", help=near)
    return found
