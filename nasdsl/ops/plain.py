"""Zeros, noise, leading channels and channel attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nasdsl.ir.op import Prim
from nasdsl.ir.optable import squeezed


class Zeros(nn.Module):
    """Exact zeros of the right shape; nothing of the input survives, not even NaN."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros((x.shape[0], *self.shape))


def zeros_beside(like: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Zeros of a shape for every sample of a batch."""
    return like.new_zeros((like.shape[0], *dims))


def zeros(prim: Prim) -> nn.Module:
    return Zeros(prim.out.dims)


class Noise(nn.Module):
    """N(0, std) of the right shape, whatever arrives."""

    def __init__(self, shape: tuple[int, ...], std: float) -> None:
        super().__init__()
        self.shape = shape
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        return torch.randn((x.shape[0], *self.shape), dtype=x.dtype, device=x.device) * self.std


def noise(prim: Prim) -> nn.Module:
    return Noise(prim.out.dims, prim.number("std"))


class Narrow(nn.Module):
    """The first channels; a view, nothing is copied."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x.narrow(1, 0, self.channels)


def narrow(prim: Prim) -> nn.Module:
    return Narrow(prim.out.channels)


class SqueezeExcite(nn.Module):
    """Channel attention: mean, bottleneck, relu, expansion, hard sigmoid, product.

    The hard sigmoid is relu6(x + 3) / 6, written so because that can be differentiated twice.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.flatten(2).mean(2)
        wide = self.expand(nn.functional.relu(self.squeeze(pooled)))
        gate = nn.functional.relu6(wide + 3) / 6
        return x * gate.reshape(*gate.shape, *([1] * (x.dim() - 2)))


def squeeze_excite(prim: Prim) -> nn.Module:
    return SqueezeExcite(prim.inp.channels, squeezed(prim))
