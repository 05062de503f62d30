"""Operations that could run at the same time, and are alike, run as one operator."""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from nasdsl.fusion.joined import GatherWeights, JoinedSum, PackParameters, joined_norm
from nasdsl.fusion.norms import moved
from nasdsl.fusion.packing import Atom, Packing
from nasdsl.fusion.rewriting import Ran, Refusal, Work
from nasdsl.fusion.waves import Key, Place, Term, Waves, computes, place


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizontal:
    """Join the equal operations of a wave, over edges, candidates and cells.

    Before::

        dwconv = self.x1_a.sep.dwconv(relu)
        dwconv_1 = self.x2_a.sep.dwconv(relu)
        conv = self.x1_a.sep.conv(dwconv)
        conv_1 = self.x2_a.sep.conv(dwconv_1)

    after::

        weights = pack_parameters([self_x1_a_sep_dwconv, self_x2_a_sep_dwconv, ...])
        dwconv = torch.conv2d(repeated(relu, 2), weights[0], groups=32, ...)
        conv = torch.conv2d(dwconv, weights[1], groups=2, ...)

    Convolutions of equal window become one with more groups, batch-norms one over the channels of
    all, sums one weighted sum. Exact for finite inputs. Running statistics stay in the modules, in
    evaluation too; parameters stay where they are and are copied together once in a pass, so that
    each has its gradient. Legal where values are certainly images of one extent, and nothing hangs
    on a module that sees its values. Fewer operators, more memory and, on the CPU, more time.
    """

    name: str = "horizontal"
    gain: str = "one operator for the equal operations of a wave"

    def run(self, work: Work) -> Ran:
        if any(n.op == "placeholder" and n.target == "pick" for n in work.graph.nodes):
            # Where no picked branch reads a value, the weights behind it have no gradient, and an
            # optimizer leaves them alone; joined with others they would have one of zeros.
            refusal = Refusal(place="waves", reason="one path runs; the others have no gradient")
            return Ran(changes=0, refusals=(refusal,))
        waves = Waves.of(work)
        steps = _steps(waves)
        joined = sum(len(s.nodes) - 1 for s in steps) + len(waves.sums)
        if not joined:
            return Ran(changes=0, refusals=tuple(waves.refusals))
        writer = _Writer(waves, Packing(fx.Graph()))
        for step in steps:
            writer.plan(step)
        made = writer.write()
        for node in reversed(list(work.graph.nodes)):
            work.graph.erase_node(node)
        work.graph.output(work.graph.graph_copy(made, {}))
        return Ran(changes=joined, refusals=tuple(waves.refusals))


@dataclass(slots=True)
class _Step:
    """Operations that run as one: nodes, or what a wave gives to sums."""

    order: tuple[int, int, int]
    kind: str
    nodes: list[fx.Node]
    terms: list[list[Term]] = field(default_factory=list)
    #: What it asks for, in order; for sums what was before, plain values, and weighted ones.
    asked: list[tuple[Atom, ...]] = field(default_factory=list)
    weights: int | None = None
    scale: int | None = None
    groups: int = 0
    #: Which sum every plain value goes to.
    owner: tuple[int, ...] = ()


def _steps(waves: Waves) -> list[_Step]:
    """What runs as one, in order."""
    groups: dict[Key, list[fx.Node]] = defaultdict(list)
    index = {node: i for i, node in enumerate(waves.wave)}
    steps = []
    for node in waves.wave:
        if node in waves.sums:
            continue
        key = waves.key(node)
        groups[(waves.wave[node], -waves.height[node], key or node)].append(node)
    for (wave, height, key), nodes in groups.items():
        kind = str(key[0]) if isinstance(key, tuple) and len(nodes) > 1 else "alone"
        if kind not in ("norm", "conv", "alone"):
            kind = "by_channel"
        steps.append(_Step((wave, height, index[nodes[0]]), kind, nodes))
    return sorted([*steps, *_sum_steps(waves, index)], key=lambda s: s.order)


def _sum_steps(waves: Waves, index: dict[fx.Node, int]) -> list[_Step]:
    groups: dict[Any, _Step] = {}
    for node, terms in waves.sums.items():
        by_wave: dict[int, list[Term]] = defaultdict(list)
        for term in terms:
            by_wave[waves.available(term.value)].append(term)
        for n, wave in enumerate(sorted(by_wave)):
            # Sums of this wave stand behind all else in it.
            key = (wave, n > 0, waves.images[terms[0].value])
            step = groups.setdefault(key, _Step((wave, 1, index[node]), "sum", []))
            step.nodes.append(node)
            step.terms.append(by_wave[wave])
    return list(groups.values())


class _Writer:
    """Writes the steps as a new graph, over the results of those before."""

    def __init__(self, waves: Waves, packing: Packing) -> None:
        self.waves = waves
        self.work = waves.work
        self.packing = packing
        self.graph = packing.graph
        self.steps: list[_Step] = []
        #: The pieces of every node of the old graph that is written.
        self.values: dict[fx.Node, tuple[Atom, ...]] = {}
        self.env: dict[fx.Node, fx.Node] = {}
        self.mixes: dict[str, int] = {}
        self.stretches: list[tuple[Any, ...]] = []
        self.convs: list[list[fx.Node]] = []
        self.norms: list[tuple[list[str], fx.Node]] = []
        self.output: fx.Node = next(n for n in self.work.graph.nodes if n.op == "output")

    # ---- what is asked for

    def plan(self, step: _Step) -> None:
        number = len(self.steps)
        self.steps.append(step)
        if step.kind == "sum":
            self._plan_sum(number, step)
        elif step.kind == "alone":
            self._plan_alone(number, step)
        else:
            self._plan_joined(number, step)
        for atoms in step.asked:
            if atoms:
                self.packing.ask(atoms)

    def _plan_alone(self, number: int, step: _Step) -> None:
        (node,) = step.nodes
        image = self.waves.images.get(node)
        if self._cat(node):
            # Nothing is computed: its pieces are those of its parts.
            parts: Any = node.args[0]
            self.values[node] = tuple(a for part in parts for a in self.values[part])
            return
        step.asked = [self.values[n] for n in node.all_input_nodes if n in self.values]
        sizes = (None,) if image is None else (image.channels,)
        self.values[node] = self.packing.result(number, sizes)

    def _cat(self, node: fx.Node) -> bool:
        return node.target is torch.cat and node in self.waves.images

    def _plan_joined(self, number: int, step: _Step) -> None:
        conv: Any = self.work.module(step.nodes[0]) if step.kind == "conv" else None
        dense = conv is not None and conv.groups == 1
        occurs: Counter[tuple[Atom, ...]] = Counter()
        places = []
        for i, node in enumerate(step.nodes):
            atoms = self.values[node.args[0]]  # type: ignore[index]
            first = (atoms[0].owner, atoms[0].index)
            # One input for several: all of its outputs together, or all inputs over and over.
            places.append((first, i) if dense else (occurs[atoms], first, i))
            occurs[atoms] += 1
        order = sorted(range(len(step.nodes)), key=lambda i: places[i])
        step.nodes = [step.nodes[i] for i in order]
        inputs = [self.values[n.args[0]] for n in step.nodes]  # type: ignore[index]
        if dense and len(set(occurs.values())) == 1:
            inputs = list(dict.fromkeys(inputs))
        if conv is not None:
            modules: list[Any] = [self.work.module(n) for n in step.nodes]
            step.groups = len(inputs) if dense else sum(m.groups for m in modules)
            step.weights = len(self.convs)
            self.convs.append(step.nodes)
        step.asked = [tuple(a for atoms in inputs for a in atoms)]
        sizes = [self.waves.images[n].channels for n in step.nodes]
        if step.kind == "norm" and len(step.nodes[0].args) > 2:
            wanted: list[Place | None] = []
            for node, size in zip(step.nodes, sizes, strict=True):
                wanted += [place(node.args[2])] * size
            step.scale = self._stretch(wanted)
        atoms = self.packing.result(number, sizes)
        for node, atom in zip(step.nodes, atoms, strict=True):
            self.values[node] = (atom,)

    def _plan_sum(self, number: int, step: _Step) -> None:
        before = [a for n in step.nodes for a in self.values.get(n, ())]
        plain = [
            (self.values[t.value], j)
            for j, terms in enumerate(step.terms)
            for t in terms
            if t.place is None
        ]
        plain.sort(key=lambda item: [(a.owner, a.index) for a in item[0]])
        columns: dict[tuple[fx.Node, int], dict[int, Place | None]] = defaultdict(dict)
        for j, terms in enumerate(step.terms):
            seen: Counter[fx.Node] = Counter()
            for t in terms:
                if t.place is not None:
                    columns[t.value, seen[t.value]][j] = t.place
                    seen[t.value] += 1
        every = sorted(columns, key=lambda c: [(a.owner, a.index) for a in self.values[c[0]]])
        weighed = [a for value, _ in every for a in self.values[value]]
        if every:
            rows = range(len(step.nodes))
            step.scale = self._stretch([columns[c].get(j) for j in rows for c in every])
        step.asked = [tuple(before), tuple(a for atoms, _ in plain for a in atoms), tuple(weighed)]
        step.owner = tuple(j for _, j in plain)
        size = self.waves.images[step.nodes[0]].channels
        atoms = self.packing.result(number, [size] * len(step.nodes))
        for node, atom in zip(step.nodes, atoms, strict=True):
            self.values[node] = (atom,)

    def _stretch(self, wanted: Sequence[Place | None]) -> int:
        """The number of a stretch of weights that are gathered."""
        places: list[tuple[int, int, int] | None] = []
        for found in wanted:
            if found is None:
                places.append(None)
            else:
                mix, row, column = found
                places.append((self.mixes.setdefault(mix, len(self.mixes)), row, column))
        self.stretches.append(tuple(places))
        return len(self.stretches) - 1

    # ---- what is written

    def write(self) -> fx.Graph:
        nodes = self.work.graph.nodes
        for node in nodes:
            if node.op == "placeholder":
                self.env[node] = self.graph.node_copy(node)
        first = next(n for n in nodes if computes(n))
        results: Any = self.output.args
        fx.map_arg(results, self._ask)
        gathered = self._gather(first)
        packed = self._pack(first)
        for number, step in enumerate(self.steps):
            if number in self.packing.sizes:
                self.packing.results[number] = self._step(step, gathered, packed)
        self._moved(first)
        self.graph.output(fx.map_arg(results[0], lambda n: self._value(n, n)))
        return self.graph

    def _ask(self, node: fx.Node) -> fx.Node:
        if node in self.values:
            self.packing.ask(self.values[node])
        return node

    def _gather(self, like: fx.Node) -> fx.Node | None:
        if not self.stretches:
            return None
        mix = next(n for n in self.work.graph.nodes if n.op == "placeholder" and n.target == "mix")
        mixes = [self.packing.call(like, operator.getitem, self.env[mix], m) for m in self.mixes]
        return self.packing.call(like, GatherWeights(tuple(self.stretches)), mixes)

    def _pack(self, like: fx.Node) -> fx.Node | None:
        if not self.convs:
            return None
        modules = [self.graph.get_attr(str(n.target)) for nodes in self.convs for n in nodes]
        return self.packing.call(like, PackParameters(tuple(map(len, self.convs))), modules)

    def _step(self, step: _Step, gathered: Any, packed: Any) -> fx.Node:
        like = step.nodes[0]
        if step.kind == "alone":
            return self.graph.node_copy(like, lambda n: self._value(n, like))
        inputs = [self.packing.take(a, like) if a else None for a in step.asked]
        scale = None
        if step.scale is not None:
            scale = self.packing.call(like, operator.getitem, gathered, step.scale)
        if step.kind == "sum":
            add = JoinedSum(len(step.nodes), step.owner)
            return self.packing.call(like, add, *inputs, scale)
        if step.kind == "conv":
            conv: Any = self.work.module(like)
            own = [
                self.packing.call(like, operator.getitem, packed, i + (step.weights or 0))
                for i in (0, len(self.convs))
            ]
            bias = own[1] if conv.bias is not None else None
            how = (conv.stride, conv.padding, conv.dilation, step.groups)
            return self.packing.call(like, torch.conv2d, inputs[0], own[0], bias, *how)
        if step.kind == "norm":
            paths = [str(n.args[1].target) for n in step.nodes]  # type: ignore[union-attr]
            named = [self.graph.get_attr(p) for p in paths]
            made = self.packing.call(like, joined_norm, inputs[0], named, scale)
            self.norms.append((paths, made))
            return self.packing.call(like, operator.getitem, made, 0)
        target: Any = like.target
        return self.packing.call(like, target, inputs[0], *like.args[1:], **like.kwargs)

    def _value(self, node: fx.Node, like: fx.Node) -> fx.Node:
        """The new node that has the value of an old one."""
        if node in self.values:
            return self.packing.take(self.values[node], like)
        if node not in self.env:
            # Names of modules stand in front of what reads them.
            self.env[node] = self.graph.node_copy(node)
        return self.env[node]

    def _moved(self, like: fx.Node) -> None:
        by_momentum: dict[Any, list[tuple[list[str], fx.Node]]] = defaultdict(list)
        for paths, made in self.norms:
            bn: Any = self.work.root.get_submodule(paths[0])
            by_momentum[bn.momentum].append((paths, made))
        for norms in by_momentum.values():
            named = [[self.graph.get_attr(p) for p in paths] for paths, _ in norms]
            parts = [
                [self.packing.call(like, operator.getitem, made, i) for _, made in norms]
                for i in (1, 2)
            ]
            self.packing.call(like, moved, named, *parts)
