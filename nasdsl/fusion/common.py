"""Common subexpressions: what is computed twice from one value is computed once."""

from __future__ import annotations

import operator
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.nn import functional as F

from nasdsl.fusion.norms import normalised, shared
from nasdsl.fusion.rewriting import Ran, Work
from nasdsl.ops.plain import zeros_beside

#: Functions without weights, noise or side effects.
PURE = frozenset(
    {
        torch.relu,
        torch.narrow,
        torch.unbind,
        operator.getitem,
        zeros_beside,
        F.pad,
        F.max_pool1d,
        F.max_pool2d,
        F.max_pool3d,
        F.avg_pool1d,
        F.avg_pool2d,
        F.avg_pool3d,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """Merge equal calls of pure functions, and equal batch-norms without parameters of one value.

    Before::

        pool = F.max_pool2d(x, 3, ...)
        bn = normalised(pool, self_x1_bn)
        pool_1 = F.max_pool2d(x, 3, ...)
        bn_1 = normalised(pool_1, self_x2_bn)

    after::

        pool = F.max_pool2d(x, 3, ...)
        norms = shared(pool, [self_x1_bn, self_x2_bn])
        bn, bn_1 = norms[0], norms[1]

    Exact. The running statistics of all merged batch-norms move; in evaluation each has its own.
    Without `norms` batch-norms stay apart, for passes that join them with others.
    """

    norms: bool = True
    name: str = "common"
    gain: str = "one ReLU, one pool with its norm, for all edges of a state"

    def run(self, work: Work) -> Ran:
        changes = self._functions(work)
        if self.norms:
            changes += self._norms(work)
        if changes:
            # Behind merged batch-norms equal calls may stand.
            changes += self._functions(work)
        return Ran(changes=changes)

    def _functions(self, work: Work) -> int:
        seen: dict[tuple[Any, str], fx.Node] = {}
        changes = 0
        for node in list(work.graph.nodes):
            if node.op != "call_function" or node.target not in PURE:
                continue
            key = node.target, f"{node.args} {sorted(node.kwargs.items())}"
            first = seen.setdefault(key, node)
            if first is not node:
                work.replace(node, first)
                changes += 1
        return changes

    def _norms(self, work: Work) -> int:
        groups: dict[tuple[Any, ...], list[fx.Node]] = defaultdict(list)
        for node in work.functions(normalised):
            bn: Any = work.root.get_submodule(str(node.args[1].target))  # type: ignore[union-attr]
            if bn.affine or len(node.args) > 2:
                continue
            groups[node.args[0], bn.eps, bn.momentum].append(node)
        changes = 0
        for nodes in groups.values():
            if len(nodes) < 2:
                continue
            # All of them in front of the first: what names a module needs no other value.
            names = [work.named(str(n.args[1].target), nodes[0]) for n in nodes]  # type: ignore[union-attr]
            several = work.call(nodes[0], shared, nodes[0].args[0], names)
            items = [work.call(nodes[0], operator.getitem, several, k) for k in range(len(nodes))]
            for node, item in zip(nodes, items, strict=True):
                named = node.args[1]
                work.replace(node, item)
                if isinstance(named, fx.Node) and not named.users:
                    work.graph.erase_node(named)
            changes += len(nodes) - 1
        return changes
