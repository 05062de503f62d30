"""In one-path mode the edges of a node are weighed together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from nasdsl.fusion.join_sums import leaves, part_of_a_sum, plain_sum
from nasdsl.fusion.picked import picked_sum
from nasdsl.fusion.rewriting import Ran, Refusal, Work, hooked


@dataclass(frozen=True, slots=True, kw_only=True)
class PickTogether:
    """One weighted sum for the picked operations of all edges of a node.

    Before::

        x2_a = self.c_0.x2_a(a, row, pick)
        x2_x1 = self.c_0.x2_x1(x1, row_1, pick_1)
        add = torch.add(x2_a, x2_x1)

    after::

        add = picked_sum([self_c_0_x2_a, self_c_0_x2_x1], [a, x1], [row, row_1], [pick, pick_1])

    Exact. Only picked operations run; the picks are numbers of the host already, so nothing waits
    for the device. Weights that were not picked keep their gradient, the sum of what comes from
    above. Choices with decisions inside stay.
    """

    name: str = "pick_together"
    gain: str = "one weighted sum for the picked operations of a node"

    def run(self, work: Work) -> Ran:
        changes, refusals = 0, []
        for add in reversed(list(work.functions(torch.add))):
            if not plain_sum(add) or part_of_a_sum(add):
                continue
            terms: list[fx.Node] = []
            inside: list[fx.Node] = []
            leaves(add, terms, inside)
            chosen = []
            for term in terms:
                reason = _reason(work, term)
                if reason is None:
                    chosen.append(term)
                elif reason:
                    refusals.append(Refusal(place=str(term.target), reason=reason))
            if len(chosen) < 2:
                continue
            made = work.call(
                add,
                picked_sum,
                [work.named(str(t.target), add) for t in chosen],
                [t.args[0] for t in chosen],
                [t.args[1] for t in chosen],
                [t.args[2] for t in chosen],
                [t for t in terms if t not in chosen],
            )
            work.replace(add, made)
            for node in (*inside, *chosen):
                work.graph.erase_node(node)
            changes += len(chosen)
        for node in list(work.graph.nodes):
            # A node with one edge, and choices that stand outside sums.
            if _reason(work, node) in (None, _READ):
                lists = ([work.named(str(node.target), node)], *([a] for a in node.args))
                work.replace(node, work.call(node, picked_sum, *lists))
                changes += 1
        return Ran(changes=changes, refusals=tuple(refusals))


#: Why a choice is weighed by itself.
_READ = "something else reads its value"


def _reason(work: Work, term: fx.Node) -> str | None:
    """None for a one-path choice that can be taken; else why it cannot, empty for other values."""
    if term.op != "call_module":
        return ""
    module: Any = work.module(term)
    if type(module).__name__ != "OnePath":
        return ""
    if len(term.args) != 3:
        return "decisions stand inside its options"
    if len(term.users) != 1:
        return _READ
    if hooked(module):
        return "a hook sees its values"
    return None
