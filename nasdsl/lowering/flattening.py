"""Inheritance: a block with everything it inherits, flat, each piece with its origin.

A piece (parameter, attribute, op, cell statement, …) is written in one block and inherited by
others. Several parents may not disagree: of two values the one written in a block that extends
the other's block wins; otherwise the child must write it (language reference, section 3).
"""

from __future__ import annotations

from nasdsl.diagnostics.model import Diagnostics, Label
from nasdsl.ir.extension import NO_PLUGINS, Plugins
from nasdsl.lowering.blocks import Block, Group, Piece
from nasdsl.lowering.disagreement import (
    cell_of,
    covers,
    related,
    source_of,
    what_to_write,
    written_keys,
)
from nasdsl.lowering.lists import Lists
from nasdsl.lowering.lookup import has, lookup
from nasdsl.lowering.merging import merge
from nasdsl.lowering.modules import Def, hides
from nasdsl.source import Span
from nasdsl.syntax import ast
from nasdsl.syntax.reserved import RESERVED

#: How many blocks may extend one another in a row.
MAX_PARENTS = 50


class Flattener:
    """Flattens blocks on demand, each definition once."""

    def __init__(
        self, diags: Diagnostics, plugins: Plugins = NO_PLUGINS, lists: Lists | None = None
    ) -> None:
        self.diags = diags
        #: Components in Python that the program may use.
        self.plugins = plugins
        #: Lists of indices that its splits name.
        self.lists = Lists() if lists is None else lists
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
        written = written_keys(node)
        keys = dict.fromkeys(key for parent, _ in parents for key in parent.pieces)
        for key in keys:
            values = [(p.pieces[key], span) for p, span in parents if key in p.pieces]
            winner = self._dominant(values)
            disagreeing = (values[0][0], values[-1][0])
            if winner is None and key[0] == "cell":
                merged = merge([p for p, _ in values], cell_of(node, key[1]))
                if isinstance(merged, Piece):
                    winner = merged
                else:
                    disagreeing = merged
            if winner is None and (key[0] == "cell" or not covers(written, key)):
                first, second = disagreeing
                label = ".".join(key[1:]) or key[0]
                self.diags.add(
                    "E104",
                    values[-1][1],
                    f"both parents change `{label}`",
                    help=f"{source_of(first)}, {source_of(second)}; {what_to_write(key, label)} here",
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
                if whole is None or related(whole.origin, piece.origin):
                    continue
                if not covers(written, key[:cut]):
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
                    block.pieces[(part,)] = Piece((part,), Group(span=node.span), node.span, block)
                group = block.pieces[(part,)].node
                if isinstance(group, Group):
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
