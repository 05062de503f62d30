"""One walk over a network that rebuilds it: a visitor sees every node and gives its parts anew.

The order of the walk depends on the structure alone, so what one visitor notes, node by node, for
one network, another may use for a network of the same structure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from nasdsl.ir.cell import After, Arrival, Cell, Join, Output
from nasdsl.ir.op import Choice, Forms, Nested, Op, Par, Prim, Seq, Varied
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Network, Stage
from nasdsl.source import Span


class Visitor(Protocol):
    """What a walk asks for."""

    def node(
        self, mark: tuple[object, ...], shapes: tuple[Shape, ...], span: Span | None
    ) -> tuple[Shape, ...]:
        """The shapes of a node anew, as many as are given; `mark` says what the node is."""
        ...

    def leaf(self, op: Prim | Varied) -> Op:
        """A primitive anew."""
        ...

    def whole(self, op: Op) -> Op | None:
        """An operation anew, without a look at its parts; None to look at them."""
        ...


class Plain:
    """A visitor that leaves everything as it is."""

    def node(
        self, mark: tuple[object, ...], shapes: tuple[Shape, ...], span: Span | None
    ) -> tuple[Shape, ...]:
        return shapes

    def leaf(self, op: Prim | Varied) -> Op:
        return op

    def whole(self, op: Op) -> Op | None:
        return None


class _Fresh(Plain):
    def leaf(self, op: Prim | Varied) -> Op:
        return replace(op)


def unshared(network: Network) -> Network:
    """An equal network in which every place has primitives of its own."""
    return rebuild(network, _Fresh())


class _Held(Plain):
    def __init__(self) -> None:
        self.found: list[Prim | Varied] = []

    def leaf(self, op: Prim | Varied) -> Op:
        self.found.append(op)
        return op


def held(network: Network) -> list[Prim | Varied]:
    """Every primitive of a network, in the order of the walk."""
    visitor = _Held()
    rebuild(network, visitor)
    return visitor.found


def rebuild(network: Network, visitor: Visitor) -> Network:
    """A network anew, stage by stage, the auxiliary head last."""
    (inp,) = visitor.node(("network",), (network.inp,), None)
    stages = tuple(stage(s, visitor) for s in network.stages)
    aux = stage(network.aux, visitor) if network.aux is not None else None
    return replace(network, inp=inp, stages=stages, aux=aux)


def stage(of: Stage, visitor: Visitor) -> Stage:
    """A stage anew."""
    (out,) = visitor.node(("stage", of.role), (of.out,), of.span)
    body: Op | Cell
    body = cell(of.body, visitor) if isinstance(of.body, Cell) else op(of.body, visitor)
    return replace(of, body=body, out=out)


def op(of: Op, visitor: Visitor) -> Op:
    """An operation anew."""
    whole = visitor.whole(of)
    if whole is not None:
        return whole
    match of:
        case Prim() | Varied():
            return visitor.leaf(of)
        case Nested():
            inp, out = visitor.node(("nested",), (of.inp, of.out), of.span)
            return replace(of, cell=cell(of.cell, visitor), inp=inp, out=out)
        case Seq():
            inp, out = visitor.node(("seq", len(of.parts)), (of.inp, of.out), of.span)
            return replace(of, parts=tuple(op(p, visitor) for p in of.parts), inp=inp, out=out)
        case Par():
            inp, out = visitor.node(("par", of.how, len(of.parts)), (of.inp, of.out), of.span)
            return replace(of, parts=tuple(op(p, visitor) for p in of.parts), inp=inp, out=out)
        case Forms():
            inp, out = visitor.node(
                ("forms", of.decisions, of.labels, of.form), (of.inp, of.out), of.span
            )
            options = tuple(op(o, visitor) for o in of.options)
            return replace(of, options=options, inp=inp, out=out)
        case Choice():
            inp, out = visitor.node(("choice", of.decision, of.labels), (of.inp, of.out), of.span)
            options = tuple(op(o, visitor) for o in of.options)
            return replace(of, options=options, inp=inp, out=out)


def cell(of: Cell, visitor: Visitor) -> Cell:
    """A cell anew, with its width: one more number that may differ."""
    names = (
        *(e.name for e in of.inputs),
        *((n.name, n.how) for n in of.nodes),
        *(e.key for e in of.edges),
    )
    mark = ("cell", of.name, of.table, of.stride, names, of.keeps, of.picks)
    width, out = visitor.node(mark, (Shape("features", (of.width,)), of.out), of.span)
    inputs = []
    for entry in of.inputs:
        (inp,) = visitor.node(("input", entry.name), (entry.inp,), entry.span)
        inputs.append(replace(entry, inp=inp, prepare=op(entry.prepare, visitor)))
    edges = tuple(replace(e, op=op(e.op, visitor)) for e in of.edges)
    nodes = tuple(replace(n, after=op(n.after, visitor)) for n in of.nodes)
    return replace(
        of,
        width=width.dims[0],
        inputs=tuple(inputs),
        edges=edges,
        nodes=nodes,
        output=output(of.output, visitor),
        out=out,
    )


def output(of: Output, visitor: Visitor) -> Output:
    """What a cell puts out, anew."""
    match of:
        case Arrival():
            visitor.node(("arrival", of.node), (), None)
            return of
        case Join():
            visitor.node(("join", of.how, len(of.parts)), (), None)
            return replace(of, parts=tuple(output(p, visitor) for p in of.parts))
        case After():
            visitor.node(("after",), (), None)
            return replace(of, inner=output(of.inner, visitor), op=op(of.op, visitor))
