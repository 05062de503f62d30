"""Which nodes of a graph the templates cover, and why not the others."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import fx

from nasdsl.fusion.generated.region import ACTS
from nasdsl.ir.op import Prim
from nasdsl.ops.plain import zeros_beside

#: Functions over maps; multiplications and divisions only by numbers.
_FUNCTIONS = frozenset((torch.add, torch.mul, torch.cat, torch.div, torch.narrow))


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a mix: the node of the tensor, row and column."""

    tensor: fx.Node
    row: int
    column: int


def entry(node: object) -> Entry | None:
    """What `mix[row][column]` a node is, None for others."""
    if not isinstance(node, fx.Node):
        return None
    column = _item(node)
    if column is None:
        return None
    row = _item(column[0])
    if row is None:
        return None
    return Entry(row[0], row[1], column[1])


def _item(node: fx.Node) -> tuple[fx.Node, int] | None:
    """`unbind(tensor, 0)[index]` as tensor and index."""
    if node.op != "call_function" or node.target is not operator.getitem:
        return None
    source, index = node.args
    if not isinstance(source, fx.Node) or not isinstance(index, int):
        return None
    if source.op != "call_function" or source.target is not torch.unbind:
        return None
    if source.args[1:] not in ((), (0,)) or source.kwargs:
        return None
    tensor = source.args[0]
    return (tensor, index) if isinstance(tensor, fx.Node) else None


def is_zeros(node: fx.Node) -> bool:
    """Zeros of a fixed shape, as the emitter writes them."""
    return node.op == "call_function" and node.target is zeros_beside


def refusal(node: fx.Node) -> str | None:
    """Why no template covers a node; None where one does."""
    if node.op == "call_module":
        prim = node.meta.get("op")
        if not isinstance(prim, Prim):
            return "a module without an operation of its own"
        if prim.inp.kind != "image" or prim.out.kind != "image":
            return f"{prim.kind}: not an image"
        if len(node.args) != 1 or node.kwargs:
            return f"{prim.kind}: more than one argument"
        return _of_prim(prim)
    if node.op != "call_function":
        return node.op
    if is_zeros(node):
        dims = node.args[1]
        return (
            None if isinstance(dims, tuple | list) and len(dims) == 3 else "zeros that are no image"
        )
    if node.target not in _FUNCTIONS:
        return f"function {getattr(node.target, '__name__', node.target)}"
    return _of_function(node)


def _of_function(node: fx.Node) -> str | None:
    args = node.args
    if node.kwargs:
        return "arguments by name"
    if node.target is torch.add:
        both = len(args) == 2 and all(isinstance(a, fx.Node) for a in args)
        return None if both else "a sum with something that is no map"
    if node.target is torch.mul:
        if len(args) != 2 or entry(args[0]) is None or not isinstance(args[1], fx.Node):
            return "a product of maps"
        return None
    if node.target is torch.div:
        by = args[1] if len(args) == 2 else None
        return None if isinstance(by, int | float) else "a division by something that is no number"
    if node.target is torch.cat:
        parts = args[0]
        if len(args) != 2 or args[1] != 1 or not isinstance(parts, list | tuple):
            return "a concatenation of something else than channels"
        return None
    return None if args[1] == 1 and args[2] == 0 else "a part that does not begin at channel 0"


def _square(prim: Prim, *names: str) -> str | None:
    for name in names:
        one = prim.integers(name)
        if len(set(one)) != 1:
            return f"{prim.kind}: {name} {'x'.join(map(str, one))}"
    return None


def _of_prim(prim: Prim) -> str | None:
    kind = prim.kind
    if kind in ACTS or kind in ("bn", "identity", "narrow"):
        return None
    if kind in ("conv", "dwconv"):
        reason = _square(prim, "kernel", "stride", "dilation", "pad")
        if reason is not None:
            return reason
        if prim.integers("stride")[0] > 2:
            return f"{kind}: stride {prim.integers('stride')[0]}"
        if kind == "conv" and prim.integer("groups") not in (1, prim.inp.channels):
            return f"conv: {prim.integer('groups')} groups"
        if is_depthwise(prim):
            if prim.inp.channels != prim.out.channels:
                return "conv: several filters per channel"
            if prim.integers("kernel")[0] > 9:
                return f"{kind}: kernel {prim.integers('kernel')[0]}"
        elif prim.integers("kernel")[0] > 11:
            return f"{kind}: kernel {prim.integers('kernel')[0]}"
        return None
    if kind in ("max_pool", "avg_pool"):
        return _square(prim, "kernel", "stride", "pad")
    if kind == "channels_from":
        return None
    if kind in ("factorized_reduce", "channel_shuffle"):
        return None
    return f"{kind}: no template"


def is_depthwise(prim: Prim) -> bool:
    """Whether a convolution has one filter per channel."""
    if prim.kind == "dwconv":
        return True
    return prim.kind == "conv" and 1 < prim.inp.channels == prim.integer("groups")


def reads(node: fx.Node) -> tuple[fx.Node, ...]:
    """The maps a covered node reads."""
    if node.op == "call_function" and node.target is torch.mul:
        arg = node.args[1]
        return (arg,) if isinstance(arg, fx.Node) else ()
    if is_zeros(node):
        return ()
    return tuple(node.all_input_nodes)


def widths(graph: fx.Graph) -> dict[fx.Node, int]:
    """Channels of the maps of a graph, where they can be told."""
    found: dict[fx.Node, int] = {}
    for node in graph.nodes:
        prim = node.meta.get("op")
        args = node.args
        if isinstance(prim, Prim):
            if prim.out.kind == "image":
                found[node] = prim.out.channels
            if prim.inp.kind == "image" and args and isinstance(args[0], fx.Node):
                found.setdefault(args[0], prim.inp.channels)
        elif refusal(node) is not None:
            continue
        elif is_zeros(node):
            found[node] = args[1][0]
        elif node.target is torch.cat:
            if all(part in found for part in args[0]):
                found[node] = sum(found[part] for part in args[0])
        elif node.target is torch.narrow:
            found[node] = args[3]
        else:
            known = [found[n] for n in reads(node) if n in found]
            if known:
                found[node] = known[0]
    return found
