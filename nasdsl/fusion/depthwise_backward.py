"""Depthwise convolutions whose backward pass is chosen for the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from nasdsl.fusion.depthwise import depthwise
from nasdsl.fusion.rewriting import Ran, Refusal, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthwiseBackward:
    """Give depthwise convolutions of odd kernels the fastest gradients the library can be put to.

    Before: `y = self.x1.sep.dwconv(x)`; after::

        y = depthwise(x, self_x1_sep_dwconv)

    Exact to the order of sums. Forward is the library's; strides and other devices keep its
    gradients too. More operators, less time.
    """

    name: str = "depthwise_backward"
    gain: str = "gradients of large and dilated depthwise kernels"

    def run(self, work: Work) -> Ran:
        changes, refusals = 0, []
        for node, conv in work.calls(nn.Conv2d):
            if conv.groups == 1 or not conv.groups == conv.in_channels == conv.out_channels:
                continue
            if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
                refusals.append(Refusal(place=str(node.target), reason="borders that are no zeros"))
                continue
            made = work.call(node, depthwise, node.args[0], work.named(str(node.target), node))
            work.replace(node, made)
            changes += 1
        return Ran(changes=changes, refusals=tuple(refusals))
