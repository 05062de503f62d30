"""What the steps of one direction of a call work on: maps as matrices, vectors, weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nasdsl.fusion.device.layout import Layout
from nasdsl.fusion.device.tables import Tables
from nasdsl.fusion.generated.emitter import Given
from nasdsl.fusion.generated.region import ACTS
from nasdsl.kernels.device.launch import POSITIONS, Launch, Launcher, tiles, wide


def rows(image: Tensor) -> Tensor:
    """Images `(n, c, h, w)` as a matrix `(n h w, c)` whose channels are neighbours in memory."""
    flat = image.permute(0, 2, 3, 1).flatten(0, 2)
    return flat if flat.shape[1] == 1 or flat.stride(1) == 1 else flat.contiguous()


def images(flat: Tensor, n: int, extent: tuple[int, int]) -> Tensor:
    """The matrix as images again."""
    return flat.view(n, *extent, flat.shape[1]).permute(0, 3, 1, 2)


@dataclass(slots=True, kw_only=True)
class Frame:
    """One direction of one call."""

    layout: Layout
    tables: Tables
    launch: Launcher
    n: int
    dtype: torch.dtype
    device: torch.device
    parameters: Mapping[tuple[str, str], Tensor]
    #: Scales and shifts of all normalisations; None where none has any.
    affine: tuple[Tensor, Tensor] | None
    #: Weights of the terms of sums, in double.
    weights: Tensor
    #: Mean and variance `(2, channels)` in double; centre, scale, shift `(3, channels)`.
    statistics: Tensor
    norm: Tensor
    values: dict[int, Tensor] = field(default_factory=dict)

    def count(self, index: int) -> int:
        """Positions of a map in all images."""
        return self.n * self.layout.positions(index)

    def empty(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.empty(shape, dtype=dtype or self.dtype, device=self.device)

    def zeros(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.zeros(shape, dtype=dtype or self.dtype, device=self.device)

    def like(self, index: int) -> Tensor:
        """A matrix for a map, not initialised."""
        return self.empty(self.count(index), self.layout.region.maps[index].channels)

    def make(self, index: int) -> Tensor:
        """Where the value of a map goes: states that leave stand in what leaves."""
        home = self.layout.homes.get(index)
        if home is None:
            self.values[index] = self.like(index)
        else:
            n = self.layout.region.maps[index].channels
            self.values[index] = self.values[home[0]][:, home[1] : home[1] + n]
        return self.values[index]

    def drop(self, indices: Sequence[int]) -> None:
        for index in indices:
            self.values.pop(index, None)

    def image(self, index: int) -> Tensor:
        return images(self.values[index], self.n, self.layout.extents[index])

    def reading(self, head: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arguments and constants of kernels that read a head."""
        one = self.layout.region.heads[head]
        x = self.values[one.map]
        arguments = {
            "x": x,
            "ld": ld(x),
            "norm": self.norm_of(head),
            "stride": self.layout.normed,
        }
        return arguments, {
            "NORMED": one.norm is not None,
            "ACT": ACTS[one.act],
            "SLOPE": one.slope,
        }

    def norm_of(self, head: int) -> Tensor:
        """Centre, scale and shift of a head, where they begin; something else where it has none."""
        one = self.layout.region.heads[head]
        if one.norm is None:
            return self.values[one.map]
        return self.norm.view(-1)[self.layout.norm_at[one.norm] :]

    def tiled(
        self,
        kernel: Any,
        shape: Sequence[int],
        arguments: dict[str, Any],
        constants: dict[str, Any],
    ) -> None:
        """A launch over the tiles of a matrix `(positions, channels)`."""
        positions, channels = shape
        across = wide(channels)
        self.launch(
            Launch(
                kernel=kernel,
                grid=(tiles(positions), tiles(channels, across)),
                arguments={**arguments, "P": positions, "C": channels},
                constants={**constants, "BP": POSITIONS, "BC": across},
            )
        )


def ld(flat: Tensor) -> int:
    """Numbers from row to row."""
    return flat.stride(0) if flat.shape[0] > 1 else flat.shape[1]


def named(layout: Layout, given: Given) -> dict[tuple[str, str], Tensor]:
    """The parameters of a call by module and name."""
    return dict(zip(layout.region.parameters, given.parameters, strict=True))


def affine(
    layout: Layout, parameters: Mapping[tuple[str, str], Tensor], like: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Scales and shifts of all normalised channels."""
    norms = [layout.region.norms[k] for k in layout.norms]
    if not any(n.affine for n in norms):
        return None
    found = []
    for name, plain in (("weight", 1.0), ("bias", 0.0)):
        found.append(
            torch.cat(
                [
                    parameters[(n.path, name)]
                    if n.affine
                    else like.new_full((layout.region.maps[n.map].channels,), plain)
                    for n in norms
                ]
            )
        )
    return found[0], found[1]
