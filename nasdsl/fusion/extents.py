"""Which images of a graph have one extent, whatever the extent of the network's input.

An extent is a name: equal names mean equal heights and widths. What keeps the extent keeps the
name, what halves it as DARTS does (`ceil(n / 2)`) has one name for all kernels, and everything else
gets a name that only equal operators of equal inputs share.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from nasdsl.fusion.norms import normalised
from nasdsl.fusion.rewriting import Work, is_weight
from nasdsl.fusion.sums import total, weighted_sum

Extent = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """A batch of images: how many channels, and the name of the extent."""

    channels: int
    extent: Extent


def images(work: Work) -> Mapping[fx.Node, Image]:
    """The nodes that are certainly batches of images."""
    found: dict[fx.Node, Image] = {}
    for node in work.graph.nodes:
        image = _image(work, node, found)
        if image is not None:
            found[node] = image
    return found


def _image(work: Work, node: fx.Node, known: Mapping[fx.Node, Image]) -> Image | None:
    if node.op == "call_module":
        module: Any = work.module(node)
        if not isinstance(module, nn.Conv2d) or isinstance(module.padding, str):
            return None
        x = _extent(node.args[0], known)
        how = (module.kernel_size, module.stride, module.padding, module.dilation)
        return Image(module.out_channels, moved(x, *how))
    if node.op != "call_function" or not node.args:
        return None
    first = node.args[0]
    if node.target is normalised:
        bn: Any = work.root.get_submodule(str(node.args[1].target))  # type: ignore[union-attr]
        is_image = type(bn) is nn.BatchNorm2d
        return Image(bn.num_features, _extent(first, known)) if is_image else None
    if node.target in (weighted_sum, total):
        values: Any = first if node.target is total else node.args[1]
        values = node.args if node.target is total else values
        return next((known[v] for v in values if v in known), None)
    if node.target is torch.cat:
        parts: Any = first
        if node.args[1:] != (1,) or not all(p in known for p in parts):
            return None
        return Image(sum(known[p].channels for p in parts), known[parts[0]].extent)
    if node.target is torch.mul and len(node.args) == 2 and is_weight(first):
        return known.get(node.args[1])  # type: ignore[arg-type]
    if node.target is torch.add and len(node.args) == 2:
        a, b = (known.get(v) for v in node.args)  # type: ignore[arg-type]
        return a if a == b else None
    here = known.get(first) if isinstance(first, fx.Node) else None
    if here is None:
        return None
    if node.target is torch.relu:
        return here
    if node.target in (F.max_pool2d, F.avg_pool2d):
        return Image(here.channels, _pooled(node, here.extent))
    if node.target is F.pad or (node.target is operator.getitem and cuts(node)):
        return Image(here.channels, ("moved", str(node.target), str(node.args[1:]), here.extent))
    return None


def cuts(node: fx.Node) -> bool:
    """Whether a node takes a part of the rows and columns of images, and all of the rest."""
    index = node.args[1]
    return isinstance(index, tuple) and len(index) == 4 and index[:2] == (slice(None),) * 2


def _extent(x: Any, known: Mapping[fx.Node, Image]) -> Extent:
    return known[x].extent if x in known else ("value", str(x))


def moved(x: Extent, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Extent:
    """The extent behind a window that moves over images."""
    sides = list(zip(*(_pair(v) for v in (kernel, stride, padding, dilation)), strict=True))
    if all(2 * p == d * (k - 1) for k, _, p, d in sides):
        if all(s == 1 for _, s, _, _ in sides):
            return x
        if all(s == 2 for _, s, _, _ in sides):
            return ("half", x)
    return ("window", *sides, x)


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _pooled(node: fx.Node, x: Extent) -> Extent:
    given: Any = node.kwargs
    if len(node.args) > 1 or given.get("ceil_mode"):
        return ("pool", str(node.args[1:]), str(sorted(given.items())), x)
    return moved(
        x, given["kernel_size"], given["stride"], given["padding"], given.get("dilation", 1)
    )
