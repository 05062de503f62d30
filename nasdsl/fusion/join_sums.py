"""Chains of products and sums become one weighted sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from nasdsl.fusion.rewriting import Ran, Work, is_weight
from nasdsl.fusion.sums import total, weighted_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSums:
    """One weighted sum for all that arrives at a node, over candidates and edges.

    Before::

        mul = torch.mul(w_1, a)
        mul_1 = torch.mul(w_2, b)
        add = torch.add(mul, mul_1)
        add_1 = torch.add(add, c)

    after::

        add_1 = weighted_sum([w_1, w_2], [a, b, c])

    Exact to the order of the sum. What is weighed is kept once, however many sums read it.
    """

    name: str = "join_sums"
    gain: str = "one operator for the sum over candidates and edges"

    def run(self, work: Work) -> Ran:
        changes = 0
        for add in reversed(list(work.functions(torch.add))):
            if not plain_sum(add) or part_of_a_sum(add):
                continue
            terms: list[fx.Node] = []
            inside: list[fx.Node] = []
            leaves(add, terms, inside)
            weights, weighed, plain = [], [], []
            for term in terms:
                if _product(term):
                    weights.append(term.args[0])
                    weighed.append(term.args[1])
                else:
                    plain.append(term)
            if weights:
                made = work.call(add, weighted_sum, weights, [*weighed, *plain])
            elif len(plain) > 2:
                made = work.call(add, total, *plain)
            else:
                continue
            work.replace(add, made)
            for node in inside:
                work.graph.erase_node(node)
            for term in terms:
                if _product(term) and not term.users:
                    work.graph.erase_node(term)
            changes += 1
        return Ran(changes=changes)


def plain_sum(node: Any) -> bool:
    return (
        isinstance(node, fx.Node)
        and node.target is torch.add
        and len(node.args) == 2
        and not node.kwargs
        and all(isinstance(a, fx.Node) for a in node.args)
    )


def part_of_a_sum(node: fx.Node) -> bool:
    """Whether a sum is only a part of a larger one."""
    users = list(node.users)
    return len(users) == 1 and plain_sum(users[0]) and users[0].args[0] is not users[0].args[1]


def leaves(node: fx.Node, terms: list[fx.Node], inside: list[fx.Node]) -> None:
    """What a tree of sums adds up, in order; sums inside it, outermost first."""
    for part in node.args:
        if isinstance(part, fx.Node):
            if plain_sum(part) and len(part.users) == 1 and node.args[0] is not node.args[1]:
                inside.append(part)
                leaves(part, terms, inside)
            else:
                terms.append(part)


def _product(node: fx.Node) -> bool:
    """Whether a term is a value times one number of the mix that nothing else reads."""
    return (
        node.target is torch.mul
        and len(node.args) == 2
        and not node.kwargs
        and is_weight(node.args[0])
        and isinstance(node.args[1], fx.Node)
        and not is_weight(node.args[1])
        and len(node.users) <= 1
    )
