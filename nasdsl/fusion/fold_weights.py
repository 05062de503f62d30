"""The weight of a normalised value becomes the scale of its batch-norm."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from nasdsl.fusion.norms import normalised
from nasdsl.fusion.rewriting import Ran, Work, is_weight


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldWeights:
    """Let a batch-norm multiply by the weight of the mix.

    Before::

        bn = normalised(y, self_bn)
        mul = torch.mul(weight, bn)

    after::

        bn = normalised(y, self_bn, weight)

    Exact: scale and shift are linear. The normalised value is not kept, the product costs nothing,
    and the gradient of the weight is the sum of the gradients of the scale, which batch-norm
    computes from what it keeps. Only where nothing else reads the normalised value.
    """

    name: str = "fold_weights"
    gain: str = "products with weights inside batch-norms"

    def run(self, work: Work) -> Ran:
        changes = 0
        for mul in list(work.functions(torch.mul)):
            if len(mul.args) != 2 or mul.kwargs:
                continue
            weight, value = mul.args
            if not is_weight(weight) or not isinstance(value, fx.Node):
                continue
            if value.target is normalised and len(value.args) == 2 and len(value.users) == 1:
                made = work.call(mul, normalised, *value.args, weight)
                work.replace(mul, made)
                work.graph.erase_node(value)
                changes += 1
        return Ran(changes=changes)
