"""Pointwise convolution, batch-norm, rectifier and another convolution, of which one map is kept.

`conv(relu(norm(point(z))))` keeps z alone: outputs of the pointwise convolution and of the
rectifier are made again in the backward pass, by the same operators, so to the last bit. Backward
they cost a product of small matrices and a normalisation; kept they cost two maps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from nasdsl.fusion.depthwise import depthwise, gradients, library
from nasdsl.fusion.gram import image, rows
from nasdsl.fusion.norms import follow, normalised


def staged(z: Tensor, point: nn.Conv2d, norm: _BatchNorm, conv: nn.Conv2d) -> Tensor:
    """What `conv(relu(norm(point(z))))` is. Out of training nothing is made twice."""
    if not norm.training:
        hidden = torch.relu(normalised(point(z), norm))
        return depthwise(hidden, conv) if conv.groups == hidden.shape[1] else conv(hidden)
    how = (conv.stride, conv.padding, conv.dilation)
    y: Tensor
    y, mean, var = _Staged.apply(
        z, point.weight, point.bias, norm.weight, norm.bias, conv.weight, conv.bias,
        (norm.eps, conv.groups, how),
    )  # fmt: skip
    follow([norm], [mean], [var])
    return y


def _hidden(
    z: Tensor, kernel: Tensor, bias: Tensor | None, gamma: Tensor | None, beta: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor, Any, Any, Any]:  # fmt: skip
    """What stands in the middle: before the norm, rectified, and moments of the batch."""
    flat = rows(z) @ kernel.flatten(1).t()
    if bias is not None:
        flat += bias
    y = image(flat, z)
    channels = kernel.shape[0]
    mean, var = y.new_zeros(channels), y.new_zeros(channels)
    out, saved_mean, saved_rstd = torch.native_batch_norm(y, gamma, beta, mean, var, True, 1.0, eps)
    return y, out.relu_(), (saved_mean, saved_rstd), mean, var


class _Staged(torch.autograd.Function):
    """`apply(z, W, b, gamma, beta, V, c, (eps, groups, how))`, and mean and variance between."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, kernel: Tensor, bias: Tensor | None, gamma: Tensor | None,
        beta: Tensor | None, weight: Tensor, shift: Tensor | None, sizes: Any,
    ) -> Any:  # fmt: skip
        eps, groups, how = sizes
        stride, padding, dilation = how
        _, hidden, _, mean, var = _hidden(z, kernel, bias, gamma, beta, eps)
        out = F.conv2d(hidden, weight, shift, stride, padding, dilation, groups)
        ctx.sizes = sizes
        ctx.save_for_backward(z, kernel, bias, gamma, beta, weight, shift)
        ctx.mark_non_differentiable(mean, var)
        return out, mean, var

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        g = grads[0]
        saved = ctx.saved_tensors
        z, kernel, bias, gamma, beta, weight, shift = saved
        eps, groups, how = ctx.sizes
        needs = ctx.needs_input_grad
        if torch.is_grad_enabled():
            return (*_differentiable(g, saved, ctx.sizes, needs), None)
        y, hidden, (mean, rstd), _, _ = _hidden(z, kernel, bias, gamma, beta, eps)
        before = any(needs[:5])
        find = gradients if groups == hidden.shape[1] == weight.shape[0] else library
        dh, dv = find(g, hidden, weight, how, (before, needs[5]), groups)
        dc = g.sum((0, 2, 3)) if needs[6] else None
        if dh is None:
            return None, None, None, None, None, dv, dc, None
        dh = torch.ops.aten.threshold_backward(dh, hidden, 0)
        affine = [True, needs[3], needs[4]]
        dy, dgamma, dbeta = torch.ops.aten.native_batch_norm_backward(
            dh, y, gamma, None, None, mean, rstd, True, eps, affine
        )
        flat = rows(dy)
        dz = image(flat @ kernel.flatten(1), z) if needs[0] else None
        dk = (flat.t() @ rows(z)).view(kernel.shape) if needs[1] else None
        db = flat.sum(0) if needs[2] else None
        return dz, dk, db, dgamma if needs[3] else None, dbeta if needs[4] else None, dv, dc, None


def _differentiable(g: Tensor, saved: Any, sizes: Any, needs: Any) -> list[Tensor | None]:
    """The same gradients as expressions that can be differentiated again."""
    # Views, so that what one of them is made from is not reached through another.
    saved = [t if t is None else t.view_as(t) for t in saved]
    z, kernel, bias, gamma, beta, weight, shift = saved
    eps, groups, (stride, padding, dilation) = sizes
    y = F.batch_norm(F.conv2d(z, kernel, bias), None, None, gamma, beta, True, 0.0, eps)
    out = F.conv2d(torch.relu(y), weight, shift, stride, padding, dilation, groups)
    wanted = [i for i, need in enumerate(needs[:7]) if need]
    slopes = torch.autograd.grad(out, [saved[i] for i in wanted], g, create_graph=True)
    result: list[Tensor | None] = [None] * 7
    for i, slope in zip(wanted, slopes, strict=True):
        result[i] = slope
    return result
