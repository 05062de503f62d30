"""Zeros that are only added to something, or weighed and added, go."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from nasdsl.fusion.rewriting import Ran, Work, impure
from nasdsl.ops.plain import Zeros, zeros_beside


@dataclass(frozen=True, slots=True, kw_only=True)
class DropNone:
    """Take zeros out of sums.

    Before::

        none = self.normal_0.x1_prev.none(x)
        mul = torch.mul(weight, none)
        add = torch.add(mul, other)

    after::

        other

    Exact for finite inputs: zero times infinity is left out as well. The weight of the zeros has
    no gradient but zero in both. A sum of nothing but zeros stays.
    """

    name: str = "drop_none"
    gain: str = "zeros are not computed"

    def run(self, work: Work) -> Ran:
        changes = 0
        for add in list(work.functions(torch.add)):
            if len(add.args) != 2 or add.kwargs:
                continue
            a, b = add.args
            if isinstance(a, fx.Node) and isinstance(b, fx.Node):
                other = b if _zero(work, a) else a if _zero(work, b) else None
                if other is not None:
                    work.replace(add, other)
                    changes += 1
        if changes:
            work.graph.eliminate_dead_code(impure)
        return Ran(changes=changes)


def _zero(work: Work, node: fx.Node) -> bool:
    """Whether a value is zero whatever the inputs, as long as they are finite."""
    if node.op == "call_module":
        return type(work.module(node)) is Zeros
    if node.target is zeros_beside:
        return True
    if node.target is torch.mul:
        return any(isinstance(a, fx.Node) and _zero(work, a) for a in node.args)
    return False
