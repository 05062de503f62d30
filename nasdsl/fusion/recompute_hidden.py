"""What stands between two convolutions is made again in the backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from nasdsl.fusion.norms import normalised
from nasdsl.fusion.rewriting import Ran, Refusal, Work, hooked
from nasdsl.fusion.staged import staged


@dataclass(frozen=True, slots=True, kw_only=True)
class RecomputeHidden:
    """Keep one map of pointwise convolution, batch-norm, rectifier, convolution.

    Before::

        conv = self.x1.sep.conv(z)
        bn = normalised(conv, self_x1_sep_bn)
        relu = torch.relu(bn)
        dwconv = self.x1.sep.dwconv_2(relu)

    after::

        dwconv = staged(z, self_x1_sep_conv, self_x1_sep_bn, self_x1_sep_dwconv_2)

    Exact to rounding; running statistics move once, what is made again does not move them. There is
    no noise in what is made again. Legal where nothing else reads what stands between.
    """

    name: str = "recompute_hidden"
    gain: str = "two of three maps between convolutions are not kept"

    def run(self, work: Work) -> Ran:
        changes, refusals = 0, []
        for node, conv in work.calls(nn.Conv2d):
            chain = _chain(node)
            if chain is None:
                continue
            relu, bn, point = chain
            reason = _reason(work, conv, chain)
            if reason is not None:
                refusals.append(Refusal(place=str(node.target), reason=reason))
                continue
            made = work.call(
                node,
                staged,
                point.args[0],
                work.named(str(point.target), node),
                bn.args[1],
                work.named(str(node.target), node),
            )
            work.replace(node, made)
            for gone in (relu, bn, point):
                work.graph.erase_node(gone)
            changes += 1
        return Ran(changes=changes, refusals=tuple(refusals))


def _chain(node: fx.Node) -> tuple[fx.Node, fx.Node, fx.Node] | None:
    """Rectifier, norm and convolution in front of a convolution."""
    relu: Any = node.args[0]
    if not isinstance(relu, fx.Node) or relu.target is not torch.relu:
        return None
    bn: Any = relu.args[0]
    if not isinstance(bn, fx.Node) or bn.target is not normalised or len(bn.args) != 2:
        return None
    point: Any = bn.args[0]
    if not isinstance(point, fx.Node) or point.op != "call_module":
        return None
    return relu, bn, point


def _reason(work: Work, conv: Any, chain: tuple[fx.Node, fx.Node, fx.Node]) -> str | None:
    """Why a chain is left alone."""
    point: Any = work.module(chain[2])
    if type(point) is not nn.Conv2d or point.kernel_size != (1, 1) or point.groups != 1:
        return "the first convolution is not pointwise"
    if point.stride != (1, 1) or point.padding != (0, 0):
        return "a pointwise convolution with stride or border"
    if any(len(n.users) != 1 for n in chain):
        return "something else reads what stands between"
    if hooked(point):
        return "a hook sees its values"
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        return "borders that are no zeros"
    return None
