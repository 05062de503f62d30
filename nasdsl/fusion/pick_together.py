"""In one-path mode the edges of a node are weighed together."""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from nasdsl.fusion.generated.generate import Options
from nasdsl.fusion.join_sums import leaves, part_of_a_sum, plain_sum
from nasdsl.fusion.paths import State, Way, chain, kernel
from nasdsl.fusion.picked import PickedSum, TakePaths
from nasdsl.fusion.rewriting import Ran, Refusal, Work, hooked
from nasdsl.kernels.toolchain import Missing, toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class PickTogether:
    """One weighted sum for the picked operations of all edges of a node.

    Before::

        x2_a = self.c_0.x2_a(a, row, pick)
        x2_x1 = self.c_0.x2_x1(x1, row_1, pick_1)
        add = torch.add(x2_a, x2_x1)

    after, the first line once for all nodes of the network::

        taken = take_paths([self_c_0_x2_a, ...], [mix_c_0, ...], [pick, ...])
        add = picked_sum([self_c_0_x2_a, self_c_0_x2_x1], [a, x1], taken[0], [pick, pick_1])

    Exact. Only picked operations run; the picks are numbers of the host already, so nothing waits
    for the device. Weights that were not picked keep their gradient, the sum of what comes from
    above. Rectifiers that open branches of one state are computed once, batches counted at once.
    Choices with decisions inside stay. With `kernels` branches that the templates cover are one
    call of generated C++ each way, where a compiler is at hand; with `recompute` such a call keeps
    its input alone.
    """

    kernels: bool = False
    recompute: bool = False
    name: str = "pick_together"
    gain: str = "one weighted sum for the picked operations of a node"

    def run(self, work: Work) -> Ran:
        sums, refusals = _sums(work)
        if sums:
            ways = _Ways(work, self._options(work))
            states = _States(work)
            apart = [s for s in sums if not _given(s)]
            joined = [s for s in sums if s not in apart]
            for each in ([joined] if joined else []) + [[s] for s in apart]:
                _take(work, each, ways, states)
        return Ran(changes=sum(len(s.edges) for s in sums), refusals=tuple(refusals))

    def _options(self, work: Work) -> Options | None:
        """How kernels are generated; None where there are none."""
        here = {p.device.type for p in work.root.parameters()} == {"cpu"}
        if not self.kernels or not here or isinstance(toolchain(), Missing):
            return None
        return Options(recompute=self.recompute, least=2)


@dataclass(frozen=True, slots=True, eq=False)
class _Sum:
    """A sum that is to be made: where, of which choices, and of what else."""

    at: fx.Node
    edges: tuple[str, ...]
    inputs: tuple[fx.Node, ...]
    rows: tuple[fx.Node, ...]
    picks: tuple[fx.Node, ...]
    plain: tuple[fx.Node, ...] = ()
    gone: tuple[fx.Node, ...] = ()


def _sums(work: Work) -> tuple[list[_Sum], list[Refusal]]:
    """What can be taken together, in the order of the graph."""
    found: list[_Sum] = []
    refusals = []
    done: set[fx.Node] = set()
    for add in reversed(list(work.functions(torch.add))):
        if not plain_sum(add) or part_of_a_sum(add):
            continue
        terms: list[fx.Node] = []
        inside: list[fx.Node] = []
        leaves(add, terms, inside)
        chosen = []
        for term in terms:
            reason = _reason(work, term)
            if reason is None:
                chosen.append(term)
            elif reason:
                refusals.append(Refusal(place=str(term.target), reason=reason))
        if len(chosen) >= 2:
            plain = tuple(t for t in terms if t not in chosen)
            found.append(_sum(add, chosen, plain, (*inside, *chosen)))
            done.update(chosen)
    for node in work.graph.nodes:
        # A node with one edge, and choices that stand outside sums.
        if node not in done and _reason(work, node) in (None, _READ):
            found.append(_sum(node, [node], (), ()))
    order = {node: i for i, node in enumerate(work.graph.nodes)}
    return sorted(found, key=lambda s: order[s.at]), refusals


def _sum(
    at: fx.Node, chosen: list[fx.Node], plain: tuple[fx.Node, ...], gone: tuple[fx.Node, ...]
) -> _Sum:
    inputs, rows, picks = zip(*(t.args for t in chosen), strict=True)
    edges = tuple(str(t.target) for t in chosen)
    return _Sum(at, edges, inputs, rows, picks, plain, gone)


class _Ways:
    """How the options of choices run, by the path of the choice."""

    def __init__(self, work: Work, options: Options | None) -> None:
        self.work = work
        self.options = options
        self.calls = Counter(str(n.target) for n in work.graph.nodes if n.op == "call_module")
        # Most choices and branches are alike.
        self.known: dict[Any, Any] = {}

    def of(self, path: str) -> tuple[Way, ...]:
        choice: Any = self.work.root.get_submodule(path)
        if self.calls[path] > 1:
            return (None,) * len(choice.labels)
        made = tuple(self._way(choice.get_submodule(label)) for label in choice.labels)
        return self.known.setdefault(made, made)  # type: ignore[no-any-return]

    def _way(self, branch: Any) -> Way:
        if self.options is not None and isinstance(branch, fx.GraphModule):
            if any(hooked(m) for m in branch.modules()):
                return None
            alike = tuple((str(n), n.target, n.args, n.meta.get("op")) for n in branch.graph.nodes)
            key = str(alike)
            if key not in self.known:
                self.known[key] = kernel(branch, self.options)
            if self.known[key] is not None:
                return self.known[key]  # type: ignore[no-any-return]
        return chain(branch)


class _States:
    """Values as what several choices read, made once each behind the value."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.known: dict[fx.Node, fx.Node] = {}
        self.now: dict[fx.Node, fx.Node] = {}

    def value(self, node: fx.Node) -> fx.Node:
        """What stands in the place of a node by now."""
        return self.now.get(node, node)

    def of(self, node: fx.Node) -> fx.Node:
        value = self.value(node)
        if value not in self.known:
            after = value.next
            while after.op == "placeholder":
                after = after.next
            self.known[value] = self.work.call(after, State, value)
        return self.known[value]


def _take(work: Work, sums: list[_Sum], ways: _Ways, states: _States) -> None:
    """Write sums as functions, with one gathering of their weights in front."""
    every = tuple(ways.of(path) for s in sums for path in s.edges)
    joined = all(_given(s) for s in sums)
    at = sums[0].at
    if joined:
        at = next(n for n in work.graph.nodes if n.op != "placeholder")
    mixes: dict[Any, fx.Node] = {}
    places: list[list[tuple[Any, int]]] = []
    picks: list[fx.Node] = []
    for s in sums:
        places.append([])
        for row, pick in zip(s.rows, s.picks, strict=True):
            place = _place(row) if joined else None
            if place is None:
                mixes[row] = work.call(at, torch.unsqueeze, row, 0)
                places[-1].append((row, 0))
                picks.append(pick)
                continue
            mix, key, index = place
            if key not in mixes:
                mixes[key] = work.call(at, operator.getitem, mix, key)
            places[-1].append((key, index))
            picks.append(_pick(work, at, pick))
    order = {key: i for i, key in enumerate(mixes)}
    take = TakePaths(tuple(tuple((order[k], r) for k, r in node) for node in places), every)
    names = [work.named(path, at) for s in sums for path in s.edges]
    taken = work.call(at, take, names, list(mixes.values()), picks)
    start = 0
    for i, s in enumerate(sums):
        count = len(s.edges)
        made = work.call(
            s.at,
            PickedSum(every[start : start + count]),
            [work.named(path, s.at) for path in s.edges],
            [states.of(x) for x in s.inputs],
            work.call(s.at, operator.getitem, taken, i),
            picks[start : start + count],
            [states.value(t) for t in s.plain],
        )
        states.now[s.at] = made
        work.replace(s.at, made)
        for gone in s.gone:
            work.graph.erase_node(gone)
        start += count


def _given(s: _Sum) -> bool:
    """Whether rows and picks of a sum are there before anything has run."""
    return all(_place(row) is not None for row in s.rows) and all(
        p.target is operator.getitem and _item_of_input(p.args[0]) for p in s.picks
    )


def _item_of_input(node: Any) -> bool:
    if not isinstance(node, fx.Node) or node.target is not operator.getitem:
        return False
    whole: Any = node.args[0]
    return isinstance(whole, fx.Node) and whole.op == "placeholder"


def _place(row: fx.Node) -> tuple[fx.Node, str, int] | None:
    """The mix, the instance and the row that a row is; None where it comes from elsewhere."""
    if row.target is not operator.getitem:
        return None
    rows: Any = row.args[0]
    if not isinstance(rows, fx.Node) or rows.target is not torch.unbind:
        return None
    mix: Any = rows.args[0]
    if not _item_of_input(mix):
        return None
    return mix.args[0], mix.args[1], row.args[1]  # type: ignore[return-value]


def _pick(work: Work, at: fx.Node, pick: fx.Node) -> fx.Node:
    """A pick, looked up in front of a node."""
    picks: Any = pick.args[0]
    return work.call(
        at, operator.getitem, work.call(at, operator.getitem, *picks.args), pick.args[1]
    )


#: Why a choice is weighed by itself.
_READ = "something else reads its value"


def _reason(work: Work, term: fx.Node) -> str | None:
    """None for a one-path choice that can be taken; else why it cannot, empty for other values."""
    if term.op != "call_module":
        return ""
    module: Any = work.module(term)
    if type(module).__name__ != "OnePath":
        return ""
    if len(term.args) != 3:
        return "decisions stand inside its options"
    if len(term.users) != 1:
        return _READ
    if hooked(module):
        return "a hook sees its values"
    return None
