"""Branches of sums that end in a pointwise convolution and a batch-norm are not made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from nasdsl.fusion.gram import gram_sum
from nasdsl.fusion.norms import normalised
from nasdsl.fusion.rewriting import Ran, Refusal, Work, hooked
from nasdsl.fusion.sums import total, weighted_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class GramFold:
    """Take batch statistics of pointwise convolutions from the covariance of what goes in.

    Before::

        conv = self.x1.sep.conv_2(z)
        bn = normalised(conv, self_x1_sep_bn_2, weight)
        ...
        node = weighted_sum(weights, [skip, bn, ...])

    after::

        node = gram_sum(weights, [skip], scales, [z, ...], convs, norms, owned)

    Exact in training and evaluation; double backward goes through the expressions above. Legal
    where nothing else reads the outputs of convolution and norm, and the norm has no parameters.
    Sums of fewer than `least` such branches stay: the algebra would cost more than it spares.
    """

    name: str = "gram_fold"
    gain: str = "outputs of pointwise convolutions are not made"
    least: int = 4

    def run(self, work: Work) -> Ran:
        changes, refusals = 0, []
        for node in list(work.graph.nodes):
            if node.target is weighted_sum:
                weights, values = list(node.args[0]), list(node.args[1])
            elif node.target is total:
                weights, values = [], list(node.args)
            else:
                continue
            groups: dict[tuple[Any, ...], list[fx.Node]] = {}
            for value in values[len(weights) :]:
                found = _branch(work, value)
                if isinstance(found, Refusal):
                    refusals.append(found)
                elif found is not None:
                    groups.setdefault(found, []).append(value)
            if not groups:
                continue
            branches = max(groups.values(), key=len)
            if len(branches) < self.least:
                refusals.append(
                    Refusal(
                        place=str(branches[0].args[0].target),  # type: ignore[union-attr]
                        reason=f"{len(branches)} branches, which the algebra does not pay for",
                    )
                )
                continue
            self._fold(work, node, weights, values, branches)
            changes += len(branches)
        return Ran(changes=changes, refusals=tuple(refusals))

    def _fold(
        self,
        work: Work,
        node: fx.Node,
        weights: list[fx.Node],
        values: list[fx.Node],
        branches: list[fx.Node],
    ) -> None:
        rest = [v for v in values if v not in branches]
        convs = [b.args[0] for b in branches]
        inputs: list[fx.Node] = [c.args[0] for c in convs]  # type: ignore[union-attr, misc]
        owned = [len(z.users) == 1 and _fresh(work, z) for z in inputs]
        made = work.call(
            node,
            gram_sum,
            weights,
            rest,
            [b.args[2] for b in branches],
            inputs,
            [work.named(str(c.target), node) for c in convs],  # type: ignore[union-attr]
            [b.args[1] for b in branches],
            owned,
        )
        work.replace(node, made)
        for branch, conv in zip(branches, convs, strict=True):
            work.graph.erase_node(branch)
            work.graph.erase_node(conv)  # type: ignore[arg-type]


def _fresh(work: Work, node: fx.Node) -> bool:
    """Whether a value is the output of a convolution, which keeps no output."""
    return node.op == "call_module" and type(work.module(node)) is nn.Conv2d


def _branch(work: Work, value: fx.Node) -> tuple[Any, ...] | Refusal | None:
    """What branches that are folded together have in common; None for other values."""
    if value.target is not normalised or len(value.args) < 3 or len(value.users) != 1:
        return None
    conv = value.args[0]
    if not isinstance(conv, fx.Node) or conv.op != "call_module":
        return None
    module: Any = work.module(conv)
    if type(module) is not nn.Conv2d or module.kernel_size != (1, 1):
        return None
    place = str(conv.target)
    if module.stride != (1, 1) or module.padding != (0, 0) or module.groups != 1:
        return Refusal(place=place, reason="a pointwise convolution with stride, border or groups")
    if len(conv.users) != 1:
        return Refusal(place=place, reason="something else reads its output")
    if hooked(module):
        return Refusal(place=place, reason="a hook sees its values")
    bn: Any = work.root.get_submodule(str(value.args[1].target))  # type: ignore[union-attr]
    if bn.affine:
        return Refusal(place=place, reason="its batch-norm has parameters of its own")
    return module.in_channels, module.out_channels, bn.eps, bn.momentum, module.bias is None
