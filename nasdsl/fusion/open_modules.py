"""Modules without weights of their own become function calls, which other passes can compare."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from nasdsl.fusion.norms import normalised, openable
from nasdsl.fusion.rewriting import Ran, Refusal, Work, hooked
from nasdsl.ops.conv import FactorizedReduce


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenModules:
    """Write rectifiers, pools, batch-norms and factorized reductions as functions.

    Before::

        relu = self.normal_0.x1_prev.sep.relu(x)
        bn = self.normal_0.x1_prev.sep.bn(y)

    after::

        relu = torch.relu(x)
        self_bn = self.normal_0.x1_prev.sep.bn
        bn = normalised(y, self_bn)

    The modules stay where they are and keep parameters, buffers and training mode. A batch-norm
    opened here no longer counts its batches: `CountTogether` does that for all of them.
    """

    name: str = "open_modules"
    gain: str = "calls that can be compared"

    def run(self, work: Work) -> Ran:
        changes, refusals = 0, []
        calls: dict[str, int] = {}
        for node in work.graph.nodes:
            if node.op == "call_module":
                calls[str(node.target)] = calls.get(str(node.target), 0) + 1
        for node in list(work.graph.nodes):
            if node.op != "call_module":
                continue
            module = work.module(node)
            if hooked(module):
                refusals.append(Refusal(place=str(node.target), reason="a hook sees its values"))
                continue
            rule = RULES.get(type(module))
            if rule is None:
                continue
            norms = [m for m in module.modules() if isinstance(m, _NORMS)]
            if norms and calls[str(node.target)] > 1:
                refusals.append(Refusal(place=str(node.target), reason="it runs more than once"))
                continue
            if not all(openable(m) for m in norms) or any(hooked(m) for m in module.modules()):
                refusals.append(
                    Refusal(place=str(node.target), reason="its batch-norm is out of the ordinary")
                )
                continue
            value = rule(work, node, module)
            if value is not None:
                work.replace(node, value)
                changes += 1
        return Ran(changes=changes, refusals=tuple(refusals))


_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _relu(work: Work, node: fx.Node, module: Any) -> fx.Node | None:
    return None if module.inplace else work.call(node, torch.relu, *node.args)


def _pool(function: Any, *names: str) -> Callable[[Work, fx.Node, Any], fx.Node | None]:
    def rule(work: Work, node: fx.Node, module: Any) -> fx.Node | None:
        if getattr(module, "return_indices", False):
            return None
        return work.call(node, function, *node.args, **{n: getattr(module, n) for n in names})

    return rule


def _batch_norm(work: Work, node: fx.Node, module: Any) -> fx.Node:
    return work.call(node, normalised, *node.args, work.named(str(node.target), node))


def _factorized_reduce(work: Work, node: fx.Node, module: Any) -> fx.Node | None:
    if type(module.bn) is not nn.BatchNorm2d:
        return None
    x = work.call(node, torch.relu, *node.args)
    shifted = x
    if any(module.pad):
        shifted = work.call(node, F.pad, x, (0, module.pad[1], 0, module.pad[0]))
    whole, rest = slice(None), slice(1, None)
    shifted = work.call(node, operator.getitem, shifted, (whole, whole, rest, rest))
    parts = []
    for name, value in (("conv1", x), ("conv2", shifted)):
        with work.graph.inserting_before(node):
            parts.append(work.graph.call_module(f"{node.target}.{name}", (value,)))
    both = work.call(node, torch.cat, parts, 1)
    return work.call(node, normalised, both, work.named(f"{node.target}.bn", node))


_MAX = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_AVG = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

#: What is opened, and how; None leaves a module as it is.
RULES: dict[type[nn.Module], Callable[[Work, fx.Node, Any], fx.Node | None]] = {
    nn.ReLU: _relu,
    nn.MaxPool1d: _pool(F.max_pool1d, *_MAX),
    nn.MaxPool2d: _pool(F.max_pool2d, *_MAX),
    nn.MaxPool3d: _pool(F.max_pool3d, *_MAX),
    nn.AvgPool1d: _pool(F.avg_pool1d, *_AVG),
    nn.AvgPool2d: _pool(F.avg_pool2d, *_AVG),
    nn.AvgPool3d: _pool(F.avg_pool3d, *_AVG),
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm3d: _batch_norm,
    FactorizedReduce: _factorized_reduce,
}
