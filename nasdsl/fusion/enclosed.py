"""Stages of a network as modules that are called, so that hooks see each of them begin and end.

Graphs call the leaves of a tree of modules; those that hold them are only names. What shares out
the parameters of a cell has to know when the cell runs. Passes then see one stage at a time: what
they join across stages would need the weights of both.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from nasdsl.fusion.plan import over, plan
from nasdsl.fusion.profile import Profile
from nasdsl.fusion.rewriting import stamp

#: They look further into what was looked up.
_LOOKS = (operator.getitem, torch.unbind, torch.narrow)
#: Stages of fewer nodes than this cost a message more than they free memory.
LEAST = 8


class Enclosed(nn.Module):
    """A stage with the modules of another that holds them: `stage(k, *values)` runs its part `k`.

    A part is the stage in one graph of the network, such as that with drop-path masks.
    """

    def __init__(self, holder: nn.Module) -> None:
        super().__init__()
        self.__dict__["_modules"] = holder._modules
        self.training = holder.training
        #: Graphs over modules of the network; not children.
        self.parts: list[fx.GraphModule] = []

    def forward(self, part: int, *values: Any) -> Any:
        # A view could be changed in place, and with it what hooks hang on.
        return tuple(
            v.clone() if isinstance(v, torch.Tensor) and v._is_view() else v
            for v in self.parts[part](*values)
        )


class Through:
    """A callable `through(*values)`: a part of a stage, by way of the stage."""

    def __init__(self, name: str, stage: Enclosed, part: int) -> None:
        self.stage, self.part = stage, part
        self.__name__ = self.__qualname__ = f"stage_{name}"
        self.__module__ = __name__

    def __call__(self, *values: Any) -> Any:
        return self.stage(self.part, *values)


@dataclass(frozen=True, slots=True)
class _Grouped:
    """Nodes of a graph by stage, in order, and what stands in front of all of them."""

    front: tuple[fx.Node, ...]
    stages: Mapping[str, tuple[fx.Node, ...]]


def _stage(node: fx.Node) -> str:
    """The stage that holds the module a node calls or names."""
    return str(node.target).partition(".")[0]


def _touched(node: fx.Node) -> set[str]:
    """The stages whose modules a node reads."""
    found = {_stage(n) for n in node.all_input_nodes if n.op == "get_attr"}
    return found | {_stage(node)} if node.op == "call_module" else found


def _named(node: fx.Node) -> bool:
    """Whether a node looks into an input of the network by a name."""
    return (
        node.target is operator.getitem
        and isinstance(node.args[1], str)
        and all(n.op == "placeholder" for n in node.all_input_nodes)
    )


def _grouped(graph: fx.Graph) -> _Grouped:
    """A node belongs to the last stage among those of its modules and of what it reads; what reads
    the mix alone to the first that reads it. What only looks up stays in front."""
    order: dict[str, int] = {}
    at: dict[fx.Node, int] = {}
    free: set[fx.Node] = set()
    nodes = [n for n in graph.nodes if n.op not in ("placeholder", "output", "get_attr")]
    for node in nodes:
        given = node.all_input_nodes
        if _named(node) or (node.target in _LOOKS and given and free.issuperset(given)):
            free.add(node)
            continue
        found = [order.setdefault(s, len(order)) for s in sorted(_touched(node))]
        found += [at[n] for n in given if n in at]
        if found:
            at[node] = max(found)
    for node in reversed(nodes):
        if node not in at and node not in free:
            found = [at[n] for n in node.users if n in at]
            if found:
                at[node] = min(found)
    stages: dict[str, list[fx.Node]] = {name: [] for name in order}
    names = list(order)
    for node in nodes:
        if node in at:
            stages[names[at[node]]].append(node)
    return _Grouped(
        tuple(n for n in nodes if n not in at), {k: tuple(v) for k, v in stages.items()}
    )


def enclosable(graphs: Iterable[fx.Graph]) -> list[str]:
    """The stages whose modules nothing outside of them reads, in any graph as it was emitted."""
    found: dict[str, bool] = {}
    for graph in graphs:
        grouped = _grouped(graph)
        for name, nodes in grouped.stages.items():
            found.setdefault(name, True)
            found[name] &= len(nodes) >= LEAST
            for node in nodes:
                for other in _touched(node) - {name}:
                    found[name] = found[other] = False
    return [name for name, good in found.items() if good]


def enclosed(
    module: fx.GraphModule, stages: Mapping[str, Enclosed], profile: Profile | None = None
) -> fx.GraphModule:
    """The same function of the same modules, in which the given stages are called.

    Each of them runs under the profile; the rest stays as it was emitted.
    """
    grouped = _grouped(module.graph)
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in module.graph.nodes:
        if node.op in ("placeholder", "get_attr"):
            copies[node] = graph.node_copy(node)
    for node in grouped.front:
        copies[node] = graph.node_copy(node, lambda n: copies[n])
    for name, nodes in grouped.stages.items():
        if name not in stages or not nodes:
            for node in nodes:
                copies[node] = graph.node_copy(node, lambda n: copies[n])
            continue
        inside, front = frozenset(nodes), frozenset(grouped.front)
        looked = _looked_up(nodes, front)
        asked = _asked(looked)
        given = [
            n
            for n in dict.fromkeys(i for node in nodes for i in node.all_input_nodes)
            if n not in inside and n not in looked and n.op != "get_attr"
        ]
        left = [n for n in nodes if any(u not in inside for u in n.users)]
        stage = stages[name]
        part = _part((*looked, *nodes), given, list(asked), left)
        made = over(module.get_submodule(name), part, f"{name}_{len(stage.parts)}")
        stage.parts.append(made if profile is None else plan(made, profile).module)
        through: Any = Through(name, stage, len(stage.parts) - 1)
        values = [copies[n] for n in given]
        values += [graph.call_function(only, (copies[n], keys)) for n, keys in asked.items()]
        call = graph.call_function(through, tuple(values))
        stamp(call, nodes[0])
        for k, node in enumerate(left):
            copies[node] = graph.call_function(operator.getitem, (call, k))
            stamp(copies[node], node)
    output = next(n for n in module.graph.nodes if n.op == "output")
    graph.output(fx.map_arg(output.args[0], lambda n: copies[n]))
    # What is looked up inside a stage alone.
    graph.eliminate_dead_code(lambda n: n.op != "get_attr" and n.target not in _LOOKS)
    return over(module, graph, "enclosed")


def only(given: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """What a stage looks up of a mapping that has the values of all."""
    return {key: given[key] for key in keys}


def _looked_up(nodes: Iterable[fx.Node], front: frozenset[fx.Node]) -> tuple[fx.Node, ...]:
    """What nodes look up in the mix and the like, which passes recognise by how it is done."""
    found: dict[fx.Node, None] = {}
    for node in nodes:
        for given in node.all_input_nodes:
            if given in front:
                found.update(dict.fromkeys((*_looked_up((given,), front), given)))
    return tuple(found)


def _asked(looked: Iterable[fx.Node]) -> dict[fx.Node, tuple[str, ...]]:
    """The inputs of a network that are looked into, and with which keys."""
    found: dict[fx.Node, list[str]] = {}
    for node in looked:
        if _named(node):
            source, key = node.all_input_nodes[0], str(node.args[1])
            found.setdefault(source, []).append(key)
    return {source: tuple(dict.fromkeys(keys)) for source, keys in found.items()}


def _part(
    nodes: tuple[fx.Node, ...], given: list[fx.Node], asked: list[fx.Node], left: list[fx.Node]
) -> fx.Graph:
    """The graph of one stage over the modules of its own.

    What is looked into has the name that it has in the whole network.
    """
    graph = fx.Graph()
    copies = {n: graph.placeholder(f"v{k}") for k, n in enumerate(given)}
    copies |= {n: graph.placeholder(str(n.target)) for n in asked}
    for node in nodes:
        for named in node.all_input_nodes:
            if named.op == "get_attr" and named not in copies:
                copies[named] = graph.get_attr(str(named.target).partition(".")[2])
        copies[node] = copy = graph.node_copy(node, lambda n: copies[n])
        if node.op == "call_module":
            copy.target = str(node.target).partition(".")[2]
    graph.output(tuple(copies[n] for n in left))
    return graph
