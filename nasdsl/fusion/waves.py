"""Which operations of a graph could run at the same time, and which of those are alike.

A wave ends where a weighted sum has what it needs from it; within a wave an operation has the height
of the chain from it to the end. Operations of one wave and one height do not depend on each other:
all of them together may run as one, before those of smaller height and of later waves. Sums are
taken apart: what a wave gives to a sum is added in that wave.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from nasdsl.fusion.checkpoint_stages import QUIET
from nasdsl.fusion.extents import Image, cuts, images
from nasdsl.fusion.norms import normalised
from nasdsl.fusion.picked import PickedSum
from nasdsl.fusion.rewriting import Refusal, Work, hooked, is_weight
from nasdsl.fusion.sums import total, weighted_sum

#: The place of a weight: the mix that an input is looked up for, its row and column.
Place = tuple[str, int, int]
#: What tells operations that may be joined from others.
Key = tuple[Any, ...]

#: Functions that are computed piece by piece of the channels; what is behind the value is equal.
_BY_CHANNEL = (torch.relu, F.max_pool2d, F.avg_pool2d, F.pad, operator.getitem)

#: Modules that draw no noise, so that their order does not matter.
_QUIET = QUIET | frozenset(
    "BatchNorm1d BatchNorm2d BatchNorm3d AvgPool2d MaxPool2d AdaptiveAvgPool2d".split()
)


@dataclass(frozen=True, slots=True)
class Term:
    """One value of a sum, and the place of its weight where it has one."""

    value: fx.Node
    place: Place | None


@dataclass(slots=True)
class Waves:
    """Wave and height of every node that computes something."""

    work: Work
    images: Mapping[fx.Node, Image]
    #: The terms of the sums that are taken apart.
    sums: dict[fx.Node, tuple[Term, ...]]
    refusals: list[Refusal]
    wave: dict[fx.Node, int] = field(default_factory=dict)
    height: dict[fx.Node, int] = field(default_factory=dict)

    @classmethod
    def of(cls, work: Work) -> Waves:
        known = images(work)
        sums: dict[fx.Node, tuple[Term, ...]] = {}
        refusals = []
        for node in work.graph.nodes:
            if node.target in (weighted_sum, total):
                terms = _terms(node)
                shapes = {known.get(t.value) for t in terms or ()}
                if terms is None:
                    reason = "its weights are computed on the way"
                elif len(shapes) != 1 or None in shapes:
                    reason = "its values are not certainly images of one shape"
                else:
                    sums[node] = terms
                    continue
                refusals.append(Refusal(place=node.name, reason=reason))
        made = cls(work, known, sums, refusals)
        made._number()
        return made

    def available(self, node: fx.Node) -> int:
        """The first wave that may read a node."""
        return self.wave[node] + (node in self.sums)

    def _number(self) -> None:
        before: dict[fx.Node, list[fx.Node]] = {}
        loud: fx.Node | None = None
        for node in self.work.graph.nodes:
            if not computes(node):
                continue
            before[node] = [n for n in node.all_input_nodes if computes(n)]
            if self._loud(node):
                # Noise is drawn in the order of the reference.
                before[node] += [loud] if loud is not None else []
                loud = node
            self.wave[node] = max((self.available(n) for n in before[node]), default=0)
        self.height = dict.fromkeys(self.wave, 0)
        for node in reversed(self.wave):
            for n in before[node]:
                if node in self.sums:
                    # A sum reads a value in the wave that has it.
                    if n not in self.sums:
                        self.height[n] = max(self.height[n], 1)
                elif self.wave[n] == self.wave[node] and n not in self.sums:
                    self.height[n] = max(self.height[n], self.height[node] + 1)

    def _loud(self, node: fx.Node) -> bool:
        """Whether a node may draw noise."""
        if node.op == "call_module":
            return type(self.work.module(node)).__name__ not in _QUIET
        # Picked branches, and functions of the emitter that run graphs of their own.
        where = str(getattr(node.target, "__module__", ""))
        own = isinstance(node.target, PickedSum) or where.startswith("nasdsl.codegen")
        return own or node.op == "call_method"

    def key(self, node: fx.Node) -> Key | None:
        """What equal operations have in common; None where a node runs by itself."""
        if node.op == "call_module":
            return self._convolution(node)
        first = node.args[0] if node.args else None
        image = self.images.get(first) if isinstance(first, fx.Node) else None
        if image is None or node.op != "call_function":
            return None
        if node.target is normalised:
            bn: Any = self.work.root.get_submodule(str(node.args[1].target))  # type: ignore[union-attr]
            scaled = len(node.args) > 2
            if scaled and place(node.args[2]) is None:
                return None
            if type(bn) is not nn.BatchNorm2d or bn.affine != (bn.bias is not None):
                return None
            return ("norm", bn.eps, bn.momentum, bn.affine, scaled, image.extent)
        if node.target in _BY_CHANNEL:
            if node.target is operator.getitem and not cuts(node):
                return None
            if any(isinstance(n, fx.Node) for n in _rest(node)):
                return None
            return (str(node.target), str(node.args[1:]), str(sorted(node.kwargs.items())),
                    image.extent)  # fmt: skip
        return None

    def _convolution(self, node: fx.Node) -> Key | None:
        conv: Any = self.work.module(node)
        x: Any = node.args[0]
        if type(conv) is not nn.Conv2d or x not in self.images or len(node.args) != 1:
            return None
        place = str(node.target)
        if hooked(conv):
            self.refusals.append(Refusal(place=place, reason="a hook sees its values"))
            return None
        if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
            self.refusals.append(Refusal(place=place, reason="borders that are no zeros"))
            return None
        image = self.images[x]
        return (
            "conv", conv.kernel_size, conv.stride, conv.padding, conv.dilation,
            conv.in_channels // conv.groups, conv.out_channels // conv.groups, conv.groups == 1,
            conv.bias is not None, image.extent,
        )  # fmt: skip


def computes(node: fx.Node) -> bool:
    """Whether a node stands for something that is computed."""
    return node.op in ("call_module", "call_function", "call_method")


def _rest(node: fx.Node) -> list[Any]:
    found: list[Any] = []
    fx.map_arg((node.args[1:], node.kwargs), found.append)
    return found


def _terms(node: fx.Node) -> tuple[Term, ...] | None:
    """The terms of a sum; None where a weight is no number of a mix that comes in."""
    weights: Any = [] if node.target is total else node.args[0]
    values: Any = node.args if node.target is total else node.args[1]
    places = [place(w) for w in weights]
    if any(p is None for p in places):
        return None
    places += [None] * (len(values) - len(places))
    return tuple(Term(v, p) for v, p in zip(values, places, strict=True))


def place(weight: Any) -> Place | None:
    """Where a weight stands in the mixes that come in; None where it is computed."""
    if not is_weight(weight):
        return None
    row, column = weight.args[0].args[0], weight.args[1]
    if not isinstance(row, fx.Node) or row.target is not operator.getitem:
        return None
    rows, number = row.args
    if not isinstance(rows, fx.Node) or rows.target is not torch.unbind:
        return None
    mix: Any = rows.args[0]
    if not isinstance(mix, fx.Node) or mix.target is not operator.getitem:
        return None
    whole: Any = mix.args[0]
    if not isinstance(whole, fx.Node) or whole.op != "placeholder":
        return None
    return str(mix.args[1]), number, column  # type: ignore[return-value]
