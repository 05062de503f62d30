"""Blocks: parameters, attributes, ops and statements with everything inherited, flat.

A piece is written in one block and inherited by others; it knows where it was written.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nasdsl.lowering.modules import Module
from nasdsl.source import Span
from nasdsl.syntax import ast


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


@dataclass(frozen=True, kw_only=True)
class Group(ast.Node):
    """The stems, the body or the heads of a network, which are inherited as one."""

    items: list[ast.Node] = field(default_factory=list)


def group(block: Block, part: str) -> list[ast.Node]:
    """The statements of `stems`, `body` or `heads`, in order."""
    piece = block.pieces.get((part,))
    return list(piece.node.items) if piece and isinstance(piece.node, Group) else []
