"""Convolutions of any rank, linear maps, and the factorized reduction of DARTS."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasdsl.ir.op import Prim
from nasdsl.ir.shape import RANK, Shape

_CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_DECONV: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def _rank(shape: Shape) -> int:
    return RANK[shape.kind]


class Thinned(nn.Conv2d):
    """A pointwise convolution with a stride, as one without on the pixels that it reads.

    For fewer than eight channels: there the gradient by the weights, with channels last, writes
    beyond its memory on processors with AVX2 and no AVX-512
    (https://github.com/uxlfoundation/oneDNN/issues/6035, torch 2.13).
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows, columns = self.stride
        return F.conv2d(input[:, :, ::rows, ::columns], weight, bias)


def pointwise(c_in: int, c_out: int, stride: tuple[int, int], *, bias: bool) -> nn.Conv2d:
    """A 1x1 convolution that torch computes without harm."""
    kind = Thinned if c_in < 8 and stride != (1, 1) else nn.Conv2d
    return kind(c_in, c_out, 1, stride=stride, bias=bias)


def convolution(prim: Prim) -> nn.Module:
    """`conv(kernel, out, stride, dilation, pad, groups, bias)`."""
    thin = prim.integers("kernel") == (1, 1) and prim.integers("pad") == (0, 0)
    if thin and prim.integer("groups") == 1:
        stride: Any = prim.integers("stride")
        return pointwise(prim.inp.channels, prim.out.channels, stride, bias=bool(prim.get("bias")))
    return _CONV[_rank(prim.inp)](
        prim.inp.channels,
        prim.out.channels,
        prim.integers("kernel"),
        stride=prim.integers("stride"),
        padding=prim.integers("pad"),
        dilation=prim.integers("dilation"),
        groups=prim.integer("groups"),
        bias=bool(prim.get("bias")),
    )


def depthwise(prim: Prim) -> nn.Module:
    """`dwconv(kernel, stride, dilation, pad, bias)`: one filter per channel."""
    return _CONV[_rank(prim.inp)](
        prim.inp.channels,
        prim.inp.channels,
        prim.integers("kernel"),
        stride=prim.integers("stride"),
        padding=prim.integers("pad"),
        dilation=prim.integers("dilation"),
        groups=prim.inp.channels,
        bias=bool(prim.get("bias")),
    )


def transposed(prim: Prim) -> nn.Module:
    """`deconv(kernel, out, stride, bias)`; the extent is multiplied by the stride."""
    kernel, stride = prim.integers("kernel"), prim.integers("stride")
    pad = tuple((k - 1) // 2 for k in kernel)
    extra = tuple(s + 2 * p - k for k, s, p in zip(kernel, stride, pad, strict=True))
    return _DECONV[_rank(prim.inp)](
        prim.inp.channels,
        prim.out.channels,
        kernel,
        stride=stride,
        padding=pad,
        output_padding=extra,
        bias=bool(prim.get("bias")),
    )


class Linear(nn.Linear):
    """An affine map of the channels; of a sequence `(n, c, l)` position by position."""

    def forward(self, x_NC: Tensor) -> Tensor:
        if x_NC.dim() == 3:
            return super().forward(x_NC.transpose(1, 2)).transpose(1, 2)
        return super().forward(x_NC)


def linear(prim: Prim) -> nn.Module:
    return Linear(prim.inp.channels, prim.out.channels, bias=bool(prim.get("bias")))


class FactorizedReduce(nn.Module):
    """relu, then two 1x1 convolutions of stride 2, the second one pixel off, then batch-norm.

    Halves the extent and keeps half of the pixels in each half of the channels (DARTS). An odd
    extent is padded right and below, so that every strided operation yields ceil(n / 2).
    """

    def __init__(
        self, c_in: int, c_out: int, pad: tuple[int, int], *, bias: bool, affine: bool
    ) -> None:
        super().__init__()
        self.conv1 = pointwise(c_in, c_out // 2, (2, 2), bias=bias)
        self.conv2 = pointwise(c_in, c_out // 2, (2, 2), bias=bias)
        self.bn = nn.BatchNorm2d(c_out, affine=affine)
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        shifted = x
        if any(self.pad):
            shifted = F.pad(x, (0, self.pad[1], 0, self.pad[0]))
        return self.bn(torch.cat([self.conv1(x), self.conv2(shifted[:, :, 1:, 1:])], dim=1))


class FoldedReduce(nn.Module):
    """A `FactorizedReduce` for inference: its batch-norm is in its convolutions."""

    def __init__(self, c_in: int, c_out: int, pad: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = pointwise(c_in, c_out // 2, (2, 2), bias=True)
        self.conv2 = pointwise(c_in, c_out // 2, (2, 2), bias=True)
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        shifted = x
        if any(self.pad):
            shifted = F.pad(x, (0, self.pad[1], 0, self.pad[0]))
        return torch.cat([self.conv1(x), self.conv2(shifted[:, :, 1:, 1:])], dim=1)


def halving(prim: Prim) -> nn.Module:
    """`factorized_reduce(out, bias, affine)`."""
    height, width = prim.inp.space
    return FactorizedReduce(
        prim.inp.channels,
        prim.out.channels,
        (height % 2, width % 2),
        bias=bool(prim.get("bias")),
        affine=bool(prim.get("affine")),
    )
