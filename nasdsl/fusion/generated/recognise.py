"""From the nodes of a group to a region: what each is in terms of maps, heads and instructions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx

from nasdsl.fusion.generated.cover import entry, is_depthwise, is_zeros
from nasdsl.fusion.generated.partition import Group
from nasdsl.fusion.generated.region import (
    ACTS,
    Coef,
    Depthwise,
    Factor,
    Gather,
    Head,
    Instruction,
    Map,
    Norm,
    Piece,
    Pool,
    Region,
    Run,
    Stage,
    Sum,
)
from nasdsl.ir.op import Prim


@dataclass(frozen=True, slots=True)
class _Term:
    """A head and the coefficient it has in a value."""

    head: Head
    constant: float = 1.0
    factors: tuple[Factor, ...] = ()

    @property
    def bare(self) -> bool:
        """Whether the coefficient is one."""
        return self.constant == 1.0 and not self.factors


#: A value: a weighted sum of heads. The empty one is zero.
_Value = tuple[_Term, ...]


class Unfit(ValueError):
    """A group that cannot be a region after all."""


@dataclass(slots=True)
class _Reader:
    group: Group
    members: frozenset[fx.Node]
    #: Channels of the values of nodes.
    channels: dict[fx.Node, int]
    maps: list[Map] = field(default_factory=list)
    norms: list[Norm] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    coefs: list[Coef] = field(default_factory=list)
    code: list[Instruction] = field(default_factory=list)
    parameters: list[tuple[str, str]] = field(default_factory=list)
    buffers: list[tuple[str, str]] = field(default_factory=list)
    inputs: list[fx.Node] = field(default_factory=list)
    scalars: list[fx.Node] = field(default_factory=list)
    values: dict[fx.Node, _Value] = field(default_factory=dict)
    #: Maps that hold a value as it is, by node.
    states: dict[fx.Node, int] = field(default_factory=dict)
    #: Maps made by a state or an input, the only ones read without a normalisation's barrier.
    whole: set[int] = field(default_factory=set)
    pools: dict[tuple[object, ...], int] = field(default_factory=dict)
    #: Depthwise convolutions that wait for the pointwise one behind them.
    waiting: dict[fx.Node, tuple[_Term, Depthwise]] = field(default_factory=dict)
    #: Concatenations that only leave: they are written where they go.
    leaving: dict[fx.Node, tuple[Run, ...]] = field(default_factory=dict)

    # ---- maps and heads

    def map(self, name: str, channels: int, place: str) -> int:
        self.maps.append(Map(name=name, channels=channels, place=place))
        return len(self.maps) - 1

    def head(self, head: Head) -> int:
        self.heads.append(head)
        return len(self.heads) - 1

    def take(self, path: str, name: str) -> None:
        if (path, name) not in self.parameters:
            self.parameters.append((path, name))

    def value(self, node: fx.Node) -> _Value:
        if node not in self.values:
            self.arrive(node)
        return self.values[node]

    def arrive(self, node: fx.Node) -> None:
        """A map from outside the group."""
        channels = self.width(node)
        index = self.map(node.name, channels, "input")
        self.inputs.append(node)
        self.whole.add(index)
        self.values[node] = (_Term(Head(map=index)),)
        self.states[node] = index

    def width(self, node: fx.Node) -> int:
        if node not in self.channels:
            raise Unfit(f"{node.name}: how many channels it has is not known")
        return self.channels[node]

    def inside(self, node: fx.Node) -> int:
        """How many nodes of the group read a value; others count as two."""
        return sum(1 if u in self.members else 2 for u in node.users)

    def state(self, node: fx.Node) -> int:
        """A map that holds the value of a node as it is."""
        if node in self.states:
            return self.states[node]
        value = self.value(node)
        if len(value) == 1 and value[0].bare and value[0].head == Head(map=value[0].head.map):
            index = value[0].head.map
            if index in self.whole:
                self.states[node] = index
                return index
        index = self.total(node.name, self.width(node), value)
        self.states[node] = index
        self.values[node] = (_Term(Head(map=index)),)
        return index

    def total(self, name: str, channels: int, value: _Value) -> int:
        """A new state: heads added up."""
        place = "kept" if len(value) != 1 else "passing"
        index = self.map(name, channels, place)
        self.whole.add(index)
        terms: dict[int, list[int]] = {}
        for term in value:
            self.coefs.append(Coef(constant=term.constant, factors=term.factors))
            source = term.head
            if self.maps[source.map].place == "input":
                source = replace(source, map=self.imported(source.map))
            root = self.root(source.map)
            terms.setdefault(root, []).append(self.head(replace(source, coef=len(self.coefs) - 1)))
        # Edge by edge, so that what an edge makes is still at hand.
        for k, part in enumerate(terms.values() or ([],)):
            self.code.append(Sum(out=index, terms=tuple(part), adds=k > 0))
        return index

    def root(self, index: int) -> int:
        """The state or input that a map is made from by stages and pools alone."""
        while index not in self.whole:
            step = next(s for s in self.code if s.out == index)
            assert isinstance(step, Stage | Pool)
            index = self.heads[step.source].map
        return index

    def imported(self, index: int) -> int:
        """A copy of an input in the layout of the region."""
        for step in self.code:
            match step:
                case Gather(runs=(Run(map=source, to=0, start=0, n=n),)) if (
                    source == index
                    and n == self.maps[index].channels
                    and self.maps[step.out].channels == n
                ):
                    return step.out
        channels = self.maps[index].channels
        copy = self.map(self.maps[index].name, channels, "passing")
        self.whole.add(copy)
        self.code.append(Gather(out=copy, runs=(Run(to=0, map=index, start=0, n=channels),)))
        return copy

    def single(self, node: fx.Node) -> Head:
        """The value of a node as one head without a coefficient."""
        value = self.value(node)
        if len(value) == 1 and value[0].bare:
            return value[0].head
        return Head(map=self.state(node))

    def settled(self, node: fx.Node, value: _Value) -> _Value:
        """A value as its readers take it: summed once where several read it."""
        self.values[node] = value
        if self.inside(node) > 1 and (
            len(value) > 1 or any(t.head.map not in self.whole for t in value)
        ):
            self.state(node)
        return self.values[node]

    # ---- nodes

    def node(self, node: fx.Node) -> None:
        if node.op == "call_module":
            prim: Prim = node.meta["op"]
            self.module(node, prim, str(node.target))
            return
        if is_zeros(node):
            self.values[node] = ()
            return
        args = node.args
        if node.target is torch.mul:
            self.product(node)
        elif node.target is torch.add:
            first, second = args
            self.settled(node, (*self.value(first), *self.value(second)))  # type: ignore[arg-type]
        elif node.target is torch.div:
            value = self.value(args[0])  # type: ignore[arg-type]
            by = float(args[1])  # type: ignore[arg-type]
            self.settled(node, tuple(replace(t, constant=t.constant / by) for t in value))
        elif node.target is torch.narrow:
            source, n = self.state(args[0]), int(args[3])  # type: ignore[arg-type, call-overload]
            self.gather(node, n, [Run(to=0, map=source, start=0, n=n)])
        else:
            self.concat(node, list(args[0]))  # type: ignore[arg-type]

    def product(self, node: fx.Node) -> None:
        weight, source = entry(node.args[0]), node.args[1]
        assert weight is not None and isinstance(source, fx.Node)
        if weight.tensor not in self.scalars:
            self.scalars.append(weight.tensor)
        factor = Factor(
            scalar=self.scalars.index(weight.tensor), row=weight.row, column=weight.column
        )
        value = self.value(source)
        self.settled(node, tuple(replace(t, factors=(*t.factors, factor)) for t in value))

    def gather(self, node: fx.Node, channels: int, runs: list[Run]) -> None:
        index = self.map(node.name, channels, "passing")
        self.whole.add(index)
        self.code.append(Gather(out=index, runs=tuple(runs)))
        self.values[node] = (_Term(Head(map=index)),)
        self.states[node] = index

    def concat(self, node: fx.Node, parts: list[fx.Node]) -> None:
        runs, at = [], 0
        for part in parts:
            n = self.width(part)
            zero = self.value(part) == ()
            source = None if zero else self.state(part)
            runs.append(Run(to=at, map=source, start=0, n=n))
            at += n
        if not any(u in self.members for u in node.users):
            self.leaving[node] = tuple(runs)
            return
        self.gather(node, at, runs)

    def module(self, node: fx.Node, prim: Prim, path: str) -> None:
        source = node.args[0]
        assert isinstance(source, fx.Node)
        kind = prim.kind
        if kind == "identity":
            self.values[node] = self.value(source)
        elif kind in ACTS:
            self.activation(node, prim, source)
        elif kind == "bn":
            self.normalisation(node, prim, source, path)
        elif kind in ("conv", "dwconv"):
            self.convolution(node, prim, source, path)
        elif kind in ("max_pool", "avg_pool"):
            self.pool(
                node,
                source,
                largest=kind == "max_pool",
                kernel=prim.integers("kernel")[0],
                stride=prim.integers("stride")[0],
                pad=prim.integers("pad")[0],
                include_pad=kind == "avg_pool" and bool(prim.get("include_pad")),
                ceil=False,
            )
        elif kind == "factorized_reduce":
            self.factorized(node, prim, source, path)
        elif kind == "narrow":
            n = prim.out.channels
            self.gather(node, n, [Run(to=0, map=self.state(source), start=0, n=n)])
        elif kind == "channels_from":
            self.rest(node, prim, source)
        elif kind == "channel_shuffle":
            state = self.state(source)
            order = _shuffled(prim.inp.channels, prim.integer("groups"))
            runs = [Run(to=i, map=state, start=c, n=1) for i, c in enumerate(order)]
            self.gather(node, prim.out.channels, runs)
        else:
            raise Unfit(f"{path}: {kind} has no template")

    def activation(self, node: fx.Node, prim: Prim, source: fx.Node) -> None:
        head = self.single(source)
        if head.act != "none":
            head = Head(map=self.state(source))
        slope = prim.number("slope") if prim.kind == "leaky_relu" else 0.0
        self.settled(node, (_Term(replace(head, act=prim.kind, slope=slope)),))

    def normalisation(self, node: fx.Node, prim: Prim, source: fx.Node, path: str) -> None:
        head = self.single(source)
        if head != Head(map=head.map):
            head = Head(map=self.state(source))
        if head.map in self.whole:
            # A state is normalised as a copy: statistics belong to what stages make.
            head = Head(map=self.copied(head.map))
        self.settled(node, (_Term(replace(head, norm=self.norm(prim, path, head.map))),))

    def norm(self, prim: Prim, path: str, index: int) -> int:
        affine = bool(prim.get("affine"))
        if affine:
            self.take(path, "weight")
            self.take(path, "bias")
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            if (path, name) not in self.buffers:
                self.buffers.append((path, name))
        self.norms.append(Norm(path=path, map=index, affine=affine, tracked=True))
        return len(self.norms) - 1

    def copied(self, index: int) -> int:
        made = self.map(self.maps[index].name, self.maps[index].channels, "passing")
        self.code.append(
            Pool(
                out=made,
                source=self.head(Head(map=index)),
                largest=False,
                kernel=1,
                stride=1,
                pad=0,
                include_pad=True,
                ceil=False,
            )
        )
        return made

    def convolution(self, node: fx.Node, prim: Prim, source: fx.Node, path: str) -> None:
        kernel, stride = prim.integers("kernel")[0], prim.integers("stride")[0]
        dilation, pad = prim.integers("dilation")[0], prim.integers("pad")[0]
        bias = bool(prim.get("bias"))
        if is_depthwise(prim):
            if pad > (kernel - 1) * dilation:
                raise Unfit(f"{path}: a border wider than the kernel")
            one = Depthwise(
                path=path, kernel=kernel, dilation=dilation, stride=stride, pad=pad, bias=bias
            )
            self.waiting[node] = (_Term(self.single(source)), one)
            if not self.joins(node):
                self.stage(node, prim, self.waiting.pop(node), ())
            return
        piece = Piece(
            path=path,
            kernel=kernel,
            dilation=dilation,
            stride=stride,
            pad=(pad, pad),
            first=0,
            last=prim.out.channels,
            bias=bias,
        )
        if source in self.waiting:
            self.stage(node, prim, self.waiting.pop(source), (piece,))
        else:
            self.stage(node, prim, (_Term(self.single(source)), None), (piece,))

    def joins(self, node: fx.Node) -> bool:
        """Whether a pointwise convolution alone reads a depthwise one."""
        if len(node.users) != 1:
            return False
        user = next(iter(node.users))
        prim = user.meta.get("op")
        return (
            user in self.members
            and isinstance(prim, Prim)
            and prim.kind == "conv"
            and not is_depthwise(prim)
            and prim.integers("kernel")[0] == prim.integers("stride")[0] == 1
            and prim.integers("pad")[0] == 0
        )

    def stage(
        self,
        node: fx.Node,
        prim: Prim,
        source: tuple[_Term, Depthwise | None],
        pieces: tuple[Piece, ...],
    ) -> None:
        term, depthwise = source
        out = self.map(node.name, prim.out.channels, "kept")
        step = Stage(out=out, source=self.head(term.head), depthwise=depthwise, pieces=pieces)
        for part in step.parts:
            self.take(part.path, "weight")
            if part.bias:
                self.take(part.path, "bias")
        self.code.append(step)
        self.settled(node, (_Term(Head(map=out)),))

    def pool(self, node: fx.Node, source: fx.Node, **how: int | bool) -> None:
        head = self.single(source)
        key = (head, *how.items())
        if key not in self.pools:
            out = self.map(node.name, self.maps[head.map].channels, "passing")
            self.code.append(Pool(out=out, source=self.head(head), **how))  # type: ignore[arg-type]
            self.pools[key] = out
        self.settled(node, (_Term(Head(map=self.pools[key])),))

    def factorized(self, node: fx.Node, prim: Prim, source: fx.Node, path: str) -> None:
        head = self.single(source)
        if head.act != "none":
            head = Head(map=self.state(source))
        half, bias = prim.out.channels // 2, bool(prim.get("bias"))
        pieces = tuple(
            Piece(
                path=f"{path}.conv{k + 1}",
                kernel=1,
                dilation=1,
                stride=2,
                pad=(-k, -k),
                first=k * half,
                last=(k + 1) * half,
                bias=bias,
            )
            for k in (0, 1)
        )
        out = self.map(node.name, prim.out.channels, "kept")
        for piece in pieces:
            self.take(piece.path, "weight")
            if bias:
                self.take(piece.path, "bias")
        self.code.append(
            Stage(
                out=out,
                source=self.head(replace(head, act="relu")),
                depthwise=None,
                pieces=pieces,
            )
        )
        # Folded for inference it has none.
        norm = self.norm(prim, f"{path}.bn", out) if dict(prim.attrs).get("norm", True) else None
        self.settled(node, (_Term(Head(map=out, norm=norm)),))

    def rest(self, node: fx.Node, prim: Prim, source: fx.Node) -> None:
        """The channels behind the first ones, a maximum over windows where it strides."""
        first, stride = prim.integer("first"), prim.integer("stride")
        state, n = self.state(source), prim.out.channels
        index = self.map(node.name, n, "passing")
        self.whole.add(index)
        self.code.append(Gather(out=index, runs=(Run(to=0, map=state, start=first, n=n),)))
        head = Head(map=index)
        if stride > 1:
            pooled = self.map(node.name, n, "passing")
            self.code.append(
                Pool(
                    out=pooled,
                    source=self.head(head),
                    largest=True,
                    kernel=stride,
                    stride=stride,
                    pad=0,
                    include_pad=False,
                    ceil=True,
                )
            )
            head = Head(map=pooled)
        self.settled(node, (_Term(head),))

    # ---- the whole

    def leave(self, node: fx.Node) -> Gather:
        """A value that something outside the group reads."""
        out = self.map(node.name, self.width(node), "output")
        runs = self.leaving.get(node)
        if runs is None:
            n = self.width(node)
            source = None if self.value(node) == () else self.state(node)
            runs = (Run(to=0, map=source, start=0, n=n),)
        step = Gather(out=out, runs=runs)
        self.code.append(step)
        return step

    def reloads(self, leaving: list[Gather]) -> tuple[Gather, ...]:
        """States that stand in an output need not be kept: they are read back from there."""
        found = []
        for step in leaving:
            for run in step.runs:
                if run.map is None:
                    continue
                held = self.maps[run.map]
                if held.place == "kept" and run.map in self.whole and run.n == held.channels:
                    self.maps[run.map] = replace(held, place="passing")
                    back = Run(to=0, map=step.out, start=run.to, n=run.n)
                    found.append(Gather(out=run.map, runs=(back,)))
        return tuple(found)


def _shuffled(channels: int, groups: int) -> list[int]:
    """Where each channel comes from, as `nasdsl.ops.edits.ChannelShuffle`."""
    each = -(-channels // groups)
    order = [g * each + i for i in range(each) for g in range(groups)]
    return [c for c in order if c < channels]


def region_of(
    group: Group, name: str, channels: dict[fx.Node, int]
) -> tuple[Region, list[fx.Node], list[fx.Node], list[fx.Node]]:
    """The region of a group, and its nodes that arrive, weigh and leave. Raises Unfit."""
    members = frozenset(group.nodes)
    reader = _Reader(group, members, channels)
    for node in group.nodes:
        reader.node(node)
    outputs = [n for n in group.nodes if any(u not in members for u in n.users)]
    leaving = [reader.leave(n) for n in outputs]
    reloads = reader.reloads(leaving)
    reference = _reference(group, reader.inputs, reader.scalars, outputs)
    region = Region(
        name=name,
        maps=tuple(reader.maps),
        norms=tuple(reader.norms),
        heads=tuple(reader.heads),
        coefs=tuple(reader.coefs),
        code=tuple(reader.code),
        reloads=reloads,
        inputs=tuple(n.name for n in reader.inputs),
        scalars=tuple(n.name for n in reader.scalars),
        outputs=tuple(n.name for n in outputs),
        owners=tuple(
            dict.fromkeys(
                str(n.target).partition(".")[0] for n in group.nodes if n.op == "call_module"
            )
        ),
        parameters=tuple(reader.parameters),
        buffers=tuple(reader.buffers),
        reference=reference,
    )
    return region, reader.inputs, reader.scalars, outputs


def _reference(
    group: Group, inputs: list[fx.Node], scalars: list[fx.Node], outputs: list[fx.Node]
) -> fx.Graph:
    """The nodes of a group as a graph of their own."""
    graph = fx.Graph()
    made: dict[fx.Node, fx.Node] = {}
    for node in (*inputs, *scalars):
        made[node] = graph.placeholder(node.name)
    for node in group.nodes:
        weight = entry(node.args[0]) if node.target is torch.mul else None
        if weight is not None:
            place = (weight.row, weight.column)
            number = graph.call_function(_entry, (made[weight.tensor], *place))
            made[node] = graph.call_function(torch.mul, (number, made[node.args[1]]))  # type: ignore[index]
            continue
        if is_zeros(node) and node.args[0] not in made:
            # What zeros are made like is any map of the batch.
            like = inputs[0] if inputs else None
            if like is None:
                raise Unfit("zeros without an input")
            zeros: Any = node.target
            made[node] = graph.call_function(zeros, (made[like], node.args[1]))
            continue
        made[node] = graph.node_copy(node, lambda n: made[n])
    graph.output(tuple(made[n] for n in outputs))
    return graph


def _entry(tensor: torch.Tensor, row: int, column: int) -> torch.Tensor:
    return tensor[row, column]
