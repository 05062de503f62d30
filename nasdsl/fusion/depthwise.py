"""Depthwise convolution whose gradients are computed the way that is fastest on the CPU.

The library's kernels are fast forward, and for the weights of dense 3 x 3 kernels at stride 1; for
larger and dilated ones they are 2 to 20 times slower than need be. So

- at stride 1 the gradient of the input is a forward convolution with the flipped kernel;
- with dilation 2 pixels of one parity only meet pixels of the same: the four phases of an image
  are images of half the extent under a dense kernel, and at stride 2 only the even phase counts;
- the gradient of a larger kernel is put together from 3 x 3 windows of it, each the gradient of a
  3 x 3 kernel on a shifted input.

These are the same sums in another order. Elsewhere the library's own gradient is used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pair = tuple[int, int]


def depthwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """What `conv(x)` is, for one filter per channel and a kernel of odd extent."""
    y: Tensor = _Depthwise.apply(
        x,
        conv.weight,
        conv.bias,
        (conv.stride, conv.padding, conv.dilation),
    )
    return y


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, how: Any) -> Tensor:
        stride, padding, dilation = how
        ctx.how = how
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, stride, padding, dilation, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (g,) = grads
        x, weight = ctx.saved_tensors
        needs = ctx.needs_input_grad
        dx, dw = gradients(g, x, weight, ctx.how, (needs[0], needs[1]), x.shape[1])
        db = g.sum((0, 2, 3)) if needs[2] else None
        return dx, dw, db, None


def gradients(
    g: Tensor, x: Tensor, weight: Tensor, how: Any, needs: tuple[bool, bool], groups: int
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of input and weight that are asked for, of a depthwise convolution."""
    stride, padding, dilation = how
    centred = _same(weight, padding, dilation) and dilation in ((1, 1), (2, 2))
    own = not torch.is_grad_enabled() and x.device.type == "cpu" and centred
    if own and stride == dilation == (2, 2) and _even(x):
        return _strided(g, x, weight, needs)
    if not own or stride != (1, 1):
        return library(g, x, weight, how, needs, groups)
    dx = dw = None
    if needs[0]:
        dx = F.conv2d(g, weight.flip(2, 3), None, 1, padding, dilation, x.shape[1])
    if needs[1]:
        dw = _weight(g, x, weight, dilation)
    return dx, dw


def library(
    g: Tensor, x: Tensor, weight: Tensor, how: Any, needs: tuple[bool, bool], groups: int
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients as the library computes them; they can be differentiated again."""
    stride, padding, dilation = how
    mask = [needs[0], needs[1], False]
    dx, dw, _ = torch.ops.aten.convolution_backward(
        g, x, weight, None, stride, padding, dilation, False, (0, 0), groups, mask
    )
    return (dx if needs[0] else None), (dw if needs[1] else None)


def _same(weight: Tensor, padding: Pair, dilation: Pair) -> bool:
    """Whether a kernel of odd extent stands with its middle on its pixel."""
    return all(
        k % 2 == 1 and p == d * (k - 1) // 2
        for k, p, d in zip(weight.shape[2:], padding, dilation, strict=True)
    )


def _weight(g: Tensor, x: Tensor, weight: Tensor, dilation: Pair) -> Tensor:
    """The gradient of the weight at stride 1."""
    if dilation == (2, 2) and _even(x):
        return _dense(_phases(g), _phases(x), weight)
    if dilation == (1, 1):
        return _dense(g, x, weight)
    padding = tuple(d * (k - 1) // 2 for k, d in zip(weight.shape[2:], dilation, strict=True))
    found = library(g, x, weight, ((1, 1), padding, dilation), (False, True), x.shape[1])[1]
    if found is None:
        raise ValueError("a gradient was asked for")
    return found


def _even(x: Tensor) -> bool:
    return x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0


def _strided(
    g: Tensor, x: Tensor, weight: Tensor, needs: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients at stride 2 and dilation 2: a dense kernel at stride 1 on the even phase."""
    dx = dw = None
    border = (weight.shape[2] // 2, weight.shape[3] // 2)
    if needs[0]:
        dx = torch.zeros_like(x)
        dx[:, :, ::2, ::2] = F.conv2d(g, weight.flip(2, 3), None, 1, border, 1, x.shape[1])
    if needs[1]:
        even = x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)
        dw = _dense(g, even, weight)
    return dx, dw


def _phases(x: Tensor) -> Tensor:
    """`(n, c, h, w)` as `(4 n, c, h/2, w/2)`: pixels of each parity of row and column."""
    n, c, h, w = x.shape
    split = x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, c)
    apart = split.permute(2, 4, 0, 1, 3, 5).reshape(4 * n, h // 2, w // 2, c)
    return apart.permute(0, 3, 1, 2)


def _dense(g: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """The gradient of a dense kernel, larger ones in windows of 3 x 3."""
    height, width = weight.shape[2:]
    if height < 3 or width < 3 or (height == 3 and width == 3):
        return _window(g, x, weight, (height // 2, width // 2))
    found = torch.empty_like(weight)
    small = weight[:, :, :3, :3]
    up, left = height // 2, width // 2
    for i in range(0, height - 2, 2):
        for j in range(0, width - 2, 2):
            # Row y of the window's input is row y + i - up of x.
            shifted = F.pad(x, (left - j, 2 + j - left, up - i, 2 + i - up))
            found[:, :, i : i + 3, j : j + 3] = _window(g, shifted, small, (0, 0))
    return found


def _window(g: Tensor, x: Tensor, weight: Tensor, padding: Pair) -> Tensor:
    found: Tensor = torch.ops.aten.convolution_backward(
        g, x, weight, None, (1, 1), padding, (1, 1), False, (0, 0), x.shape[1],
        [False, True, False],
    )[1]  # fmt: skip
    return found
