"""What is left of a cell once its edges are picked: which edges and nodes, and how wide they are.

Nodes that nothing reaches, or that do not reach the output, are left out, as NAS-Bench-101 prunes
its matrices (arXiv 1902.09635). An output that splits its channels (`concat(x, split = true)`) gives
each joined node its share of the width; a node before them is as wide as the widest node it feeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nasdsl.ir.cell import shares

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Edges (source, target) and nodes that are left, and widths where they are not the cell's.

    `joined` are the nodes the output still reads, `shares` the channels of those it splits.
    """

    edges: frozenset[Edge]
    joined: frozenset[str]
    widths: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[str, int] = field(default_factory=dict)


def settle(
    *,
    inputs: Sequence[str],
    nodes: Sequence[str],
    edges: Sequence[Edge],
    picked: Mapping[str, Sequence[str]],
    read: Sequence[str],
    split: Sequence[str],
    width: int,
) -> Settled:
    """A cell with its edges picked: `picked` maps a target to the sources it keeps.

    `read` are the nodes that the output names, `split` those among them that share the width.
    """
    kept = [(s, t) for s, t in edges if t not in picked or s in picked[t]]
    reached = set(inputs)
    for node in nodes:
        if any(t == node and s in reached for s, t in kept):
            reached.add(node)
    # A node with an edge to the output arrives only through that edge.
    bound = {s for s, t in edges if t == "out"}
    arriving = {s for s, t in kept if t == "out"}
    joined = [n for n in read if n in reached and (n not in bound or n in arriving)]
    needed = set(joined)
    for node in reversed(nodes):
        if node in needed:
            needed.update(s for s, t in kept if t == node)
    left = needed & reached
    kept = [(s, t) for s, t in kept if s in left and (t in left or (t == "out" and s in joined))]
    parts = [n for n in split if n in joined]
    share = dict(zip(parts, shares(width, len(parts)), strict=True))
    widths: dict[str, int] = {}
    if split:
        for node in reversed([n for n in nodes if n in left]):
            wanted = [widths[t] for s, t in kept if s == node and t in widths]
            if node in share:
                wanted.append(share[node])
            elif node in joined:
                wanted.append(width)
            widths[node] = max(wanted, default=width)
    return Settled(edges=frozenset(kept), joined=frozenset(joined), widths=widths, shares=share)
