"""Stages of a network keep their inputs alone and are run again in the backward pass."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx
from torch.nn.modules.batchnorm import _BatchNorm

from nasdsl.fusion.norms import counted
from nasdsl.fusion.picked import TakePaths
from nasdsl.fusion.region import Region, applied
from nasdsl.fusion.rewriting import Ran, Refusal, Work, hooked

#: Modules that draw no noise and hold nothing that changes when they run.
QUIET: frozenset[str] = frozenset(
    "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Linear ReLU GELU SiLU "
    "Hardswish LeakyReLU Tanh Identity LayerNorm SqueezeExcite GlobalAverage Flatten Zeros "
    "ChannelsFrom ChannelShuffle Scaled Cropped Adapted Narrow Thinned".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointStages:
    """Run every stage of at least `least` operators twice, and keep what goes into it.

    Before: all operators of cell `normal_0`; after::

        normal_0 = region_normal_0(stem, mix_rows, self_normal_0_x1_conv, ...)

    Exact: the second run is the first to the last bit. Running statistics move once. A stage with
    noise (dropout, random operations) or with batch-norms that are no functions is left alone.
    """

    name: str = "checkpoint_stages"
    gain: str = "cells keep their inputs alone"
    least: int = 24

    def run(self, work: Work) -> Ran:
        changes, refusals = 0, []
        for name, nodes in stages(work).items():
            if len(nodes) < self.least:
                continue
            reason = _reason(work, nodes)
            if reason is not None:
                refusals.append(Refusal(place=name, reason=reason))
                continue
            _enclose(work, name, nodes)
            changes += 1
        return Ran(changes=changes, refusals=tuple(refusals))


def stages(work: Work) -> dict[str, list[fx.Node]]:
    """Nodes by the stage of the network they belong to, in order.

    A node belongs to the last stage among those of its modules and of what it reads; what reads
    the mix alone belongs to the stage that reads it.
    """
    order: dict[str, int] = {}
    at: dict[fx.Node, int] = {}
    front = _front(work)
    for node in work.graph.nodes:
        if node.op in ("placeholder", "output") or node.target is counted or node in front:
            continue
        found = [at[n] for n in node.all_input_nodes if n in at]
        if node.op in ("call_module", "get_attr"):
            found.append(order.setdefault(str(node.target).partition(".")[0], len(order)))
        if found:
            at[node] = max(found)
    for node in reversed(list(work.graph.nodes)):
        if node in at or node.op in ("placeholder", "output") or node.target is counted:
            continue
        if node in front:
            continue
        found = [at[n] for n in node.users if n in at]
        if found:
            at[node] = min(found)
    grouped: dict[str, list[fx.Node]] = {name: [] for name in order}
    names = list(order)
    for node in work.graph.nodes:
        if node in at:
            grouped[names[at[node]]].append(node)
    # What a stage reads comes from it or from earlier ones, so they may stand one by one.
    end = next(n for n in work.graph.nodes if n.op == "output")
    for nodes in grouped.values():
        for node in nodes:
            end.prepend(node)
    return grouped


def _front(work: Work) -> set[fx.Node]:
    """What stands in front of all stages: the weights of the paths of the whole network."""
    found: set[fx.Node] = set()
    for node in work.graph.nodes:
        if not isinstance(node.target, TakePaths):
            continue
        before = {node}
        new = [node]
        while new:
            new += [n for n in new.pop().all_input_nodes if n not in before]
            before.update(new)
        if all(n is node or _looked_up(n) for n in before):
            found |= before
    return found


def _looked_up(node: fx.Node) -> bool:
    return node.op in ("placeholder", "get_attr") or node.target is operator.getitem


def _reason(work: Work, nodes: list[fx.Node]) -> str | None:
    """Why a stage cannot be run twice."""
    for node in nodes:
        if node.op not in ("call_module", "get_attr"):
            continue
        module = work.module(node)
        if hooked(module):
            return f"a hook sees the values of {node.target}"
        if node.op == "get_attr" and isinstance(module, _BatchNorm):
            continue
        if type(module).__name__ not in QUIET:
            return f"{type(module).__name__} at {node.target} may draw noise or hold statistics"
    return None


def _enclose(work: Work, name: str, nodes: list[fx.Node]) -> None:
    """Put nodes into a region of its own."""
    inside = set(nodes)
    graph = fx.Graph()
    env: dict[fx.Node, fx.Node] = {}
    arguments: list[fx.Node] = []
    anchor = next(n for n in reversed(nodes)).next
    modules: dict[str, fx.Node] = {}

    def enter(value: fx.Node, label: str) -> fx.Node:
        made = graph.placeholder(label)
        arguments.append(value)
        return made

    outer = {n for node in nodes for n in node.all_input_nodes if n not in inside}
    for value in [n for n in work.graph.nodes if n in outer]:
        env[value] = enter(value, value.name)
    for node in nodes:
        if node.op in ("get_attr", "call_module") and str(node.target) not in modules:
            path = str(node.target)
            modules[path] = enter(work.named(path, anchor), f"self_{path.replace('.', '_')}")
    for node in nodes:
        if node.op == "get_attr":
            env[node] = modules[str(node.target)]
        elif node.op == "call_module":
            args = fx.map_arg(node.args, lambda n: env[n])
            env[node] = graph.call_function(applied, (modules[str(node.target)], *args))
        else:
            env[node] = graph.node_copy(node, lambda n: env[n])
    leaving = [n for n in nodes if any(u not in inside for u in n.users)]
    graph.output(tuple(env[n] for n in leaving))
    region: Any = Region(name, graph)
    made = work.call(anchor, region, *arguments)
    values: Mapping[fx.Node, fx.Node] = {
        n: work.call(anchor, _item, made, i) for i, n in enumerate(leaving)
    }
    for node, value in values.items():
        node.replace_all_uses_with(value, delete_user_cb=lambda user: user not in inside)
    for node in reversed(nodes):
        work.graph.erase_node(node)


def _item(values: tuple[Any, ...], i: int) -> Any:
    return values[i]
