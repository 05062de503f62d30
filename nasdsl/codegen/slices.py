"""Which part of the shared weights an option uses: leading channels, central kernel.

Weights of every option of a `Varied` are a slice of those of the largest (Once-for-all, arXiv
1908.09791; AutoFormer, arXiv 2107.00651). A weight is looked at as an array whose axes are its
sizes: the rows of an attention's `qkv` as (q k v, head, place in the head), of which an option
with fewer heads takes the first heads of each; a batch-norm behind two joined halves as (half,
channel). An option takes the first entries of every axis, along a kernel the central ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nasdsl.ir.op import Prim
from nasdsl.ops.table import module

CONVOLUTIONS = ("conv", "dwconv", "deconv")


def skeleton(prim: Prim) -> nn.Module:
    """A module without memory for weights; they are lent to it at each call."""
    with torch.device("meta"):
        return module(prim)


def axes(prim: Prim, name: str, shape: Sequence[int], grouped: bool) -> tuple[int, ...]:
    """The sizes that a weight of a primitive is made of; their product is its size."""
    if prim.kind == "attention":
        heads, head_dim = prim.integer("heads"), prim.integer("head_dim")
        if name.startswith("qkv"):
            return (3, heads, head_dim, *shape[1:])
        if name == "proj.weight":
            return (shape[0], heads, head_dim)
    if prim.kind == "factorized_reduce" and name.startswith("bn.") and shape:
        return (2, shape[0] // 2)
    if prim.kind == "conv" and grouped:
        groups = prim.integer("groups")
        return (groups, shape[0] // groups, *shape[1:])
    return tuple(shape)


def central(prim: Prim, name: str, rank: int, grouped: bool) -> range:
    """The axes of which the middle is taken."""
    if prim.kind in CONVOLUTIONS and name == "weight":
        return range(3 if prim.kind == "conv" and grouped else 2, rank)
    return range(0)


class Slices:
    """The slices of one weight: its axes, and begin and length along each for every option."""

    def __init__(self, whole: Prim, options: Sequence[Prim], name: str, shapes: list[Tensor]):
        """`shapes` are this weight of `whole` and then of every option, without memory."""
        # Channels are dealt out to the groups only where the number of groups is fixed.
        grouped = whole.kind == "conv" and whole.integer("groups") > 1
        grouped = grouped and len({o.get("groups") for o in options}) == 1
        self.full = axes(whole, name, shapes[0].shape, grouped)
        self.shapes = [tuple(t.shape) for t in shapes[1:]]
        middle = central(whole, name, len(self.full), grouped)
        self.parts: list[tuple[tuple[int, int], ...]] = []
        for option, shape in zip(options, self.shapes, strict=True):
            sizes = axes(option, name, shape, grouped)
            self.parts.append(
                tuple(
                    ((big - n) // 2 if a in middle else 0, n)
                    for a, (big, n) in enumerate(zip(self.full, sizes, strict=True))
                )
            )
        self.fits = all(
            begin >= 0 and begin + n <= big
            for part in self.parts
            for (begin, n), big in zip(part, self.full, strict=True)
        )

    def of(self, weight: Tensor, option: int) -> Tensor:
        """The slice of an option, in the shape it has there; a view where it can be."""
        piece = weight.view(self.full) if self.full else weight
        for a, (begin, n) in enumerate(self.parts[option]):
            if n != self.full[a]:
                piece = piece.narrow(a, begin, n)
        return piece.reshape(self.shapes[option])

    def put(self, weight: Tensor, option: int, piece: Tensor) -> None:
        """Write a slice back, where `of` had to copy it."""
        place = weight.view(self.full)
        for a, (begin, n) in enumerate(self.parts[option]):
            place = place.narrow(a, begin, n)
        place.copy_(piece.reshape(place.shape))

    def varying(self) -> tuple[int, ...]:
        """The axes along which the options differ."""
        return tuple(a for a in range(len(self.full)) if len({p[a] for p in self.parts}) > 1)

    def masks(self, axis: int) -> Tensor:
        """`(options, entries)`: 1 where an option has an entry of an axis."""
        found = torch.zeros(len(self.parts), self.full[axis])
        for i, part in enumerate(self.parts):
            begin, n = part[axis]
            found[i, begin : begin + n] = 1
        return found

    @property
    def size(self) -> int:
        return math.prod(self.full)
