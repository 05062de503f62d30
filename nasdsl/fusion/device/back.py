"""Gradients on their way through a region: of maps, of heads, of parameters.

Gradients of states and inputs are added up as their readers are gone through. What stages and pools
make has none of its own: it is put together from the gradients of its heads when it is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nasdsl.fusion.device.frame import Frame, ld
from nasdsl.fusion.device.wanted import Wanted
from nasdsl.fusion.generated.region import ACTS, Depthwise, Piece
from nasdsl.kernels.device import gradient
from nasdsl.kernels.device.launch import Launch, tiles


@dataclass(slots=True, kw_only=True)
class Back:
    """What the steps of a backward pass read and add to."""

    frame: Frame
    wanted: Wanted
    #: By slots: the factors of gradients, and gradients by scale and shift.
    factors: Tensor
    own: Tensor
    #: Of the weights of terms, in double.
    of_weights: Tensor
    maps: dict[int, Tensor] = field(default_factory=dict)
    heads: dict[int, Tensor] = field(default_factory=dict)
    winners: dict[int, Tensor] = field(default_factory=dict)
    parameters: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    # ---- between maps and heads

    def of_map(self, index: int) -> Tensor:
        """The gradient of a state that leaves no more to be added; zero where nothing was."""
        if index not in self.maps:
            self.maps[index] = self.frame.like(index).zero_()
        return self.maps[index]

    def room(self, index: int) -> tuple[Tensor, bool]:
        """Where to add to the gradient of a state, and whether nothing has been yet."""
        fresh = index not in self.maps
        if fresh:
            self.maps[index] = self.frame.like(index)
        return self.maps[index], fresh

    def target(self, source: int) -> tuple[Tensor, bool]:
        """Where the gradient of what a stage or pool reads goes: to the state, else to the head."""
        one = self.frame.layout.region.heads[source]
        if one.map in self.frame.layout.layers:
            self.heads[source] = self.frame.like(one.map)
            return self.heads[source], True
        return self.room(one.map)

    def sums_of(self, source: int) -> Tensor:
        """Room for the sums that the normalisation of a head needs."""
        one = self.frame.layout.region.heads[source]
        if one.norm is None:
            return self.frame.values[one.map]
        channels = self.frame.layout.region.maps[one.map].channels
        return self.frame.empty(tiles(self.frame.count(one.map)), 3, channels)

    def settled(self, source: int, found: Tensor) -> None:
        """The factors of a head of a stage, once its sums are there."""
        if self.frame.layout.region.heads[source].norm is not None:
            self.settle((source,), found, weighed=False)

    def settle(self, heads: Sequence[int], found: Tensor, *, weighed: bool) -> None:
        frame = self.frame
        made = frame.layout
        count = frame.count(made.region.heads[heads[0]].map)
        gamma, beta = frame.affine or (frame.norm, frame.norm)
        frame.launch(
            Launch(
                kernel=gradient.settle_gradient,
                grid=(len(heads),),
                arguments={
                    "sums": found,
                    "tiles": tiles(count),
                    "facts": frame.tables.facts,
                    "first": made.slot_number[heads[0]],
                    "statistics": frame.statistics,
                    "gamma": gamma,
                    "beta": beta,
                    "eps": frame.tables.eps,
                    "weights": frame.weights,
                    "total": made.normed,
                    "factors": self.factors,
                    "own": self.own,
                    "at": made.slot_at[heads[0]],
                    "slots": made.slotted,
                    "of_weights": self.of_weights,
                    "P": count,
                    "C": made.channels(heads[0]),
                },
                constants={
                    "AFFINE": frame.affine is not None,
                    "WEIGHED": weighed,
                    "BT": 32,
                    "BC": 32,
                },
            )
        )

    def gradient(self, index: int) -> Tensor:
        """The gradient of what a stage or pool has made, by way of all its heads."""
        frame = self.frame
        total, summed = None, frame.layout.summed
        for k in frame.layout.heads_on.get(index, ()):
            one = frame.layout.region.heads[k]
            g = self.of_map(summed[k]) if k in summed else self.heads.pop(k)
            slot = frame.layout.slot_at.get(k)
            if slot is None:
                total = g if total is None else total.add_(g)
                continue
            fresh = total is None
            total = frame.like(index) if total is None else total
            x = frame.values[index]
            # The gradient of a head that a stage reads stands in front of the activation.
            active = k in summed and one.act != "none"
            frame.tiled(
                gradient.map_gradient,
                total.shape,
                {
                    "g": g,
                    "x": x,
                    "ld": ld(x),
                    "norm": frame.norm_of(k),
                    "stride": frame.layout.normed,
                    "factors": self.factors.view(-1)[slot:],
                    "slots": frame.layout.slotted,
                    "to": total,
                },
                {
                    "NORMED": one.norm is not None,
                    "ACT": ACTS[one.act] if active else 0,
                    "SLOPE": one.slope if active else 0.0,
                    "FIRST": fresh,
                },
            )
        return frame.like(index).zero_() if total is None else total

    def give(self, part: Depthwise | Piece, name: str, found: Tensor) -> None:
        """The gradient of a parameter, added to what other stages have given."""
        key = (part.path, name)
        found = found.to(self.frame.dtype).reshape(self.frame.parameters[key].shape)
        self.parameters[key] = self.parameters[key] + found if key in self.parameters else found

    def asks(self, part: Depthwise | Piece, name: str) -> bool:
        return (part.path, name) in self.wanted.parameters

    def bias(self, part: Depthwise | Piece, g: Tensor) -> None:
        if part.bias and self.asks(part, "bias"):
            self.give(part, "bias", g.sum(0, dtype=torch.float64))
