"""What two groups have in common that compute the same over other modules.

The cells of a network are few shapes repeated: a region made for one of them serves all others,
called with their modules. An outline is a group without names: nodes and what arrives count in
their order, modules by their place below the owners they stand in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import torch
from torch import fx

from nasdsl.fusion.generated.cover import entry, is_zeros
from nasdsl.fusion.generated.partition import Group
from nasdsl.ir.op import Prim


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The digest of a group, and its nodes from outside and owners in the order they appear."""

    digest: str
    arrived: tuple[fx.Node, ...]
    scalars: tuple[fx.Node, ...]
    owners: tuple[str, ...]


@dataclass(slots=True)
class Outlines:
    """Makes outlines; primitives are written out once, as cells share them."""

    #: Channels of the values of nodes.
    channels: dict[fx.Node, int]
    _said: dict[int, str] = field(default_factory=dict)

    def of(self, group: Group) -> Outline:
        inside = {node: k for k, node in enumerate(group.nodes)}
        arrived: dict[fx.Node, int] = {}
        scalars: dict[fx.Node, int] = {}
        owners: dict[str, int] = {}

        def value(arg: object) -> str:
            """An argument: a node of the group, one from outside, or a constant."""
            if isinstance(arg, fx.Node):
                if arg in inside:
                    return f"%{inside[arg]}"
                k = arrived.setdefault(arg, len(arrived))
                return f"<{k}:{self.channels.get(arg)}"
            if isinstance(arg, list | tuple):
                return f"[{','.join(map(value, arg))}]"
            return repr(arg)

        lines = []
        for node in group.nodes:
            if node.op == "call_module":
                owner, _, rest = str(node.target).partition(".")
                place = f"{owners.setdefault(owner, len(owners))}.{rest}"
                words = [place, self.prim(node.meta["op"]), *map(value, node.args)]
            elif is_zeros(node):
                # What they are made like is no input: any map of the batch will do.
                like, dims = node.args
                words = ["zeros", f"%{inside[like]}" if like in inside else "", repr(dims)]  # type: ignore[index]
            elif node.target is torch.mul and (weight := entry(node.args[0])) is not None:
                k = scalars.setdefault(weight.tensor, len(scalars))
                words = ["weigh", f"{k}[{weight.row},{weight.column}]", value(node.args[1])]
            else:
                words = [getattr(node.target, "__name__", ""), *map(value, node.args)]
            words.append(str(self.channels.get(node)))
            if any(u not in inside for u in node.users):
                words.append("leaves")
            lines.append(" ".join(words))
        return Outline(
            digest=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
            arrived=tuple(arrived),
            scalars=tuple(scalars),
            owners=tuple(owners),
        )

    def prim(self, prim: Prim) -> str:
        # The graph holds its primitives, so that no two of them have one identity.
        found = self._said.get(id(prim))
        if found is None:
            found = self._said[id(prim)] = f"{prim.kind}{prim.attrs}{prim.inp}{prim.out}"
        return found
