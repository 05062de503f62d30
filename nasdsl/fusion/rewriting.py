"""What every fx pass works on, what it gives back, and what it may rely on.

A pass is a frozen dataclass with a `name`, a `gain` (what it is for, in a few words) and
`run(work) -> Ran`. It may assume a valid graph and leaves a valid one: the same function of the
same inputs, to rounding, with the same gradients and the same running statistics. Where it cannot
keep that it does nothing and says where and why.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import fx, nn

from nasdsl.fusion.generated.known import Known
from nasdsl.fusion.norms import counted, moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A place that a pass left alone, and why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a pass did: how often, and what it refused."""

    changes: int
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """A graph that is being rewritten, over the modules it calls, and regions that are known."""

    graph: fx.Graph
    root: nn.Module
    known: Known = field(default_factory=Known)
    #: Modules that were looked up, by path; none is put in the place of another meanwhile.
    modules: dict[str, nn.Module] = field(default_factory=dict)

    def module(self, node: fx.Node) -> nn.Module:
        """The module that a node calls or names. Raises AttributeError where there is none."""
        path = str(node.target)
        found = self.modules.get(path)
        if found is None:
            found = self.modules[path] = self.root.get_submodule(path)
        return found

    def calls(self, kind: type[nn.Module]) -> Iterator[tuple[fx.Node, Any]]:
        """Calls of modules of exactly one type, on which nothing hangs that sees the values."""
        for node in list(self.graph.nodes):
            if node.op == "call_module":
                module = self.module(node)
                if type(module) is kind and not hooked(module):
                    yield node, module

    def functions(self, target: Any) -> Iterator[fx.Node]:
        """Calls of one function."""
        for node in list(self.graph.nodes):
            if node.op == "call_function" and node.target is target:
                yield node

    def named(self, path: str, before: fx.Node) -> fx.Node:
        """A node whose value is the module at a path: it is looked up when the graph runs."""
        with self.graph.inserting_before(before):
            return self.graph.get_attr(path)

    def call(self, before: fx.Node, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """A new function call in front of a node, which keeps its place in the source."""
        with self.graph.inserting_before(before):
            made = self.graph.call_function(target, args, kwargs)
        stamp(made, before)
        return made

    def replace(self, node: fx.Node, value: fx.Node) -> None:
        """Put another value in the place of a node, and take the node out."""
        node.replace_all_uses_with(value)
        self.graph.erase_node(node)


class Pass(Protocol):
    """A rewriting of the graph."""

    @property
    def name(self) -> str: ...

    @property
    def gain(self) -> str: ...

    def run(self, work: Work) -> Ran: ...


@runtime_checkable
class Rebuilding(Protocol):
    """A pass that can also write another graph and leave the one given as it is."""

    def rebuild(self, work: Work) -> tuple[Ran, fx.Graph]: ...


def stamp(made: fx.Node, like: fx.Node) -> None:
    """Give a new node the place in the `.nas` text of another."""
    if like.stack_trace is not None:
        made.stack_trace = like.stack_trace
    for key in ("nas", "at", "stage"):
        if key in like.meta:
            made.meta[key] = like.meta[key]


def hooked(module: nn.Module) -> bool:
    """Whether hooks see or change what a module computes."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def impure(node: fx.Node) -> bool:
    """Whether a node stays although nothing reads it."""
    return node.op in ("placeholder", "output") or node.target in (counted, moved)


def is_weight(node: Any) -> bool:
    """Whether a node is one number of the mix: an item of a row that was taken apart."""
    if not isinstance(node, fx.Node) or node.target is not operator.getitem:
        return False
    row = node.args[0]
    return isinstance(row, fx.Node) and row.target is torch.unbind
