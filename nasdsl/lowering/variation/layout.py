"""A network laid out: the marks, shapes and primitives of its nodes, and built anew from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nasdsl.ir import rewrite
from nasdsl.ir.op import Op, Prim, Varied
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Network
from nasdsl.source import Span


@dataclass(slots=True)
class Seen(rewrite.Plain):
    """A network laid out: marks and shapes of its nodes, and its primitives."""

    marks: list[tuple[object, ...]] = field(default_factory=list)
    shapes: list[tuple[Shape, ...]] = field(default_factory=list)
    spans: list[Span | None] = field(default_factory=list)
    leaves: list[Op] = field(default_factory=list)
    #: Nodes that are leaves as a whole, because they differ between settings.
    whole_at: frozenset[int] = frozenset()
    ops: dict[int, Op] = field(default_factory=dict)

    def whole(self, op: Op) -> Op | None:
        self.ops[len(self.marks)] = op
        if len(self.marks) not in self.whole_at:
            return None
        self.node(("form",), (op.inp, op.out), op.span)
        self.leaves.append(op)
        return op

    def node(
        self, mark: tuple[object, ...], shapes: tuple[Shape, ...], span: Span | None
    ) -> tuple[Shape, ...]:
        kinds = tuple((s.kind, len(s.dims)) for s in shapes)
        self.marks.append((*mark, kinds))
        self.shapes.append(shapes)
        self.spans.append(span)
        return shapes

    def leaf(self, op: Prim | Varied) -> Op:
        if isinstance(op, Prim):
            self.node(("prim", op.kind), (op.inp, op.out), op.span)
            self.leaves.append(op)
        return op


@dataclass(slots=True)
class Merged(rewrite.Plain):
    """A network anew: the largest shapes, and a leaf for each of its primitives."""

    shapes: list[tuple[Shape, ...]]
    leaves: list[Op]
    whole_at: frozenset[int] = frozenset()
    at: int = 0
    leaf_at: int = 0

    def whole(self, op: Op) -> Op | None:
        if self.at not in self.whole_at:
            return None
        self.at += 1
        self.leaf_at += 1
        return self.leaves[self.leaf_at - 1]

    def node(
        self, mark: tuple[object, ...], shapes: tuple[Shape, ...], span: Span | None
    ) -> tuple[Shape, ...]:
        self.at += 1
        return self.shapes[self.at - 1]

    def leaf(self, op: Prim | Varied) -> Op:
        self.at += 1
        self.leaf_at += 1
        return self.leaves[self.leaf_at - 1]


def laid_out(network: Network, whole_at: frozenset[int] = frozenset()) -> Seen:
    """A network laid out; the nodes `whole_at` are leaves."""
    seen = Seen(whole_at=whole_at)
    rewrite.rebuild(network, seen)
    return seen


def largest_shapes(every: list[Seen]) -> list[tuple[Shape, ...]]:
    """The largest shapes of every node."""
    return [
        tuple(largest(same) for same in zip(*(s.shapes[i] for s in every), strict=True))
        for i in range(len(every[0].shapes))
    ]


def largest(shapes: Iterable[Shape]) -> Shape:
    """The largest extent in every dimension."""
    found = list(shapes)
    return Shape(found[0].kind, tuple(max(n) for n in zip(*(s.dims for s in found), strict=True)))


def nowhere(seen: Seen) -> Span:
    """The first place that a network was written at, for want of a better one."""
    return next(s for s in seen.spans if s is not None)
