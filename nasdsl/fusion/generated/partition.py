"""A graph divided into regions: what is covered, cell by cell, cut where something is not."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from nasdsl.fusion.generated.cover import is_zeros, reads, refusal
from nasdsl.ir.op import Prim


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Covered nodes of one cell between which nothing uncovered stands."""

    cell: str
    level: int
    nodes: tuple[fx.Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A place that stays as it was, and why."""

    place: str
    reason: str


def cell_of(node: fx.Node) -> str:
    """The cell or stage a module stands in."""
    at = node.meta.get("at")
    if "stage" in node.meta:
        return str(node.meta["stage"])
    return str(at[0]) if at else str(node.target).partition(".")[0]


def draws(node: fx.Node) -> bool:
    """Whether a node takes random numbers, so that its order among others counts."""
    prim = node.meta.get("op")
    return isinstance(prim, Prim) and prim.kind in ("noise", "dropout", "dropped")


def partition(graph: fx.Graph, *, apart: bool = False) -> tuple[list[Group], list[Refused]]:
    """Groups in the order of the graph, and the modules that none of them takes.

    With `apart` every module is a group of its own, and functions stay as they are.

    The level of a node counts the uncovered nodes on the way to it: nodes of one cell and level
    have no path between them that leaves the group, so a group can be one call.
    """
    level: dict[fx.Node, int] = {}
    cells: dict[fx.Node, str] = {}
    members: dict[tuple[str, int], list[fx.Node]] = {}
    refused = []
    late = []
    drawn = 0
    for node in graph.nodes:
        reason = refusal(node)
        if apart and reason is None and node.op != "call_module":
            reason = "no module"
        if reason is None and is_zeros(node):
            late.append(node)
            level[node] = 0
            continue
        if reason is None:
            maps = reads(node)
            level[node] = max((level[m] for m in maps), default=0)
            if node.op == "call_module":
                cells[node] = str(node.name) if apart else cell_of(node)
            else:
                inside = [cells[m] for m in maps if m in cells]
                # A function stands where it was written, or else where what it reads is made.
                stage = node.meta.get("stage", inside[-1] if inside else None)
                if stage is None:
                    reason = "a function of what no cell made"
                else:
                    cells[node] = stage
            if reason is None:
                members.setdefault((cells[node], level[node]), []).append(node)
                continue
        before = [level[m] + (m in cells) for m in node.all_input_nodes]
        level[node] = max(before, default=0)
        if draws(node):
            # Numbers are drawn in the order of the graph, whoever needs them first.
            level[node] = drawn = max(drawn, level[node])
        if node.op == "call_module":
            refused.append(Refused(place=str(node.target), reason=reason))
    for node in late:
        # Zeros have no place of their own: they go where they are read.
        users = {(cells[u], level[u]) for u in node.users if u in cells}
        if len(users) == 1 and all(u in cells for u in node.users):
            members[users.pop()].insert(0, node)
    groups = [Group(cell=c, level=k, nodes=tuple(found)) for (c, k), found in members.items()]
    return groups, refused
