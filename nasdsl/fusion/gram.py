"""Pointwise convolution, batch-norm and weighted sum, without the normalised maps.

A branch of a sum is `w (W z - mean) / sqrt(var + eps)` with the moments of W z over the batch.
These follow from those of z: mean = W m, var = diag(W S W'), m and S mean and covariance of z. So
W z is never made: with A = w W / sqrt(var + eps) the sum over branches is sum_k A_k z_k plus a
constant, one matrix product a branch into one result. Likewise backward, with P = sum g z' over
the batch, everything but the gradient of z is algebra of small matrices. The covariance is that of
z minus the mean of its first rows: else its rounding would swamp a small variance beside a large
mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from nasdsl.fusion.norms import follow, normalised
from nasdsl.fusion.sums import dot

#: Rows whose mean the covariance is shifted by.
ROWS = 256


def gram_sum(
    weights: Sequence[Tensor],
    values: Sequence[Tensor],
    scales: Sequence[Tensor],
    inputs: Sequence[Tensor],
    convs: Sequence[nn.Conv2d],
    norms: Sequence[_BatchNorm],
    owned: Sequence[bool],
) -> Tensor:
    """`sum_j weights_j values_j + sum_k scales_k norms_k(convs_k(inputs_k))`.

    Values behind the weights are added as they are. `owned` says which inputs nothing else reads:
    those are shifted in place. Where a norm is not in training branches run one by one.
    """
    if not all(bn.training for bn in norms):
        return _folded(weights, values, scales, inputs, convs, norms)
    kernels = torch.stack([conv.weight for conv in convs])
    k = len(inputs)
    biases = [conv.bias for conv in convs if conv.bias is not None]
    if biases and len(biases) < k:
        raise ValueError("branches with and without bias are folded apart")
    total: Tensor
    total, means, vars_ = _Gram.apply(
        (k, len(weights), norms[0].eps, tuple(owned)),
        torch.stack(list(scales)),
        kernels.flatten(2),
        torch.stack(biases) if biases else None,
        *inputs,
        *weights,
        *values,
    )
    follow(norms, means.unbind(), vars_.unbind())
    return total


def _folded(
    weights: Sequence[Tensor],
    values: Sequence[Tensor],
    scales: Sequence[Tensor],
    inputs: Sequence[Tensor],
    convs: Sequence[nn.Conv2d],
    norms: Sequence[_BatchNorm],
) -> Tensor:
    """In evaluation a norm is a scale and a shift of the convolution in front of it."""
    total: Tensor | None = None
    for scale, z, conv, bn in zip(scales, inputs, convs, norms, strict=True):
        if bn.training:
            value = normalised(conv(z), bn, scale)
        else:
            if bn.running_mean is None or bn.running_var is None:
                raise ValueError("a folded batch-norm has running statistics")
            factor = scale * torch.rsqrt(bn.running_var + bn.eps)
            bias = -bn.running_mean if conv.bias is None else conv.bias - bn.running_mean
            value = F.conv2d(z, conv.weight * factor[:, None, None, None], bias * factor)
        total = value if total is None else total + value
    for weight, value in zip(weights, values, strict=False):
        total = value * weight if total is None else total + value * weight
    for value in values[len(weights) :]:
        total = value if total is None else total + value
    if total is None:
        raise ValueError("an empty sum")
    return total


def rows(z: Tensor) -> Tensor:
    """`(n, c, h, w)` as `(n h w, c)`; a view where channels come last in memory."""
    return z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])


def image(flat: Tensor, like: Tensor) -> Tensor:
    """`(n h w, c)` as `(n, c, h, w)` with channels last."""
    n, _, h, w = like.shape
    return flat.view(n, h, w, flat.shape[1]).permute(0, 3, 1, 2)


class _Gram(torch.autograd.Function):
    """`apply((k, j, eps, owned), w (k), W (k, o, i), b (k, o), k inputs, j weights, values)`.

    Gives the sum, and of every branch the mean and unbiased variance of W z + b, without gradient.
    A bias b in front of a batch-norm moves its mean alone; its gradient is zero.
    """

    @staticmethod
    def forward(
        ctx: Any, sizes: Any, w: Tensor, kernels: Tensor, biases: Tensor | None, *rest: Tensor
    ) -> Any:
        k, j, eps, owned = sizes
        inputs, weights, values = rest[:k], rest[k : k + j], rest[k + j :]
        shifted, shifts, sums, products = [], [], [], []
        for z, own in zip(inputs, owned, strict=True):
            flat = rows(z)
            shift = flat[:ROWS].mean(0)
            # What nothing else reads need not be copied: batch-norm does not see a shift.
            own = own and flat.data_ptr() == z.data_ptr()
            flat = flat.sub_(shift) if own else flat - shift
            shifted.append(flat)
            shifts.append(shift)
            sums.append(flat.sum(0))
            products.append(flat.t() @ flat)
        count = shifted[0].shape[0]
        mean_z = torch.stack(sums) / count
        cov = torch.stack(products) / count - mean_z[:, :, None] * mean_z[:, None, :]
        bent = kernels @ cov
        var = (bent * kernels).sum(-1).clamp_(min=0)
        rstd = torch.rsqrt(var + eps)
        mean = (kernels @ mean_z[:, :, None]).squeeze(-1)
        factor = w[:, None] * rstd
        folded = factor[:, :, None] * kernels
        flat = torch.addmm(-(factor * mean).sum(0), shifted[0], folded[0].t())
        for z_flat, a in zip(shifted[1:], folded[1:], strict=True):
            flat.addmm_(z_flat, a.t())
        total = image(flat, inputs[0])
        for weight, value in zip(weights, values, strict=False):
            total.addcmul_(value, weight)
        for value in values[j:]:
            total.add_(value)
        ctx.sizes = sizes
        ctx.count = count
        # Owned inputs are saved as they are now, shifted; others are shifted again.
        ctx.own = [f.data_ptr() == z.data_ptr() for f, z in zip(shifted, inputs, strict=True)]
        ctx.plain = len(values) - j
        ctx.save_for_backward(
            w, kernels, mean_z, cov, rstd, mean, *shifts, *inputs, *weights, *values[:j]
        )
        means = (kernels @ (mean_z + torch.stack(shifts))[:, :, None]).squeeze(-1)
        if biases is not None:
            means = means + biases
        ctx.biased = biases is not None
        vars_ = var * (count / max(count - 1, 1))
        ctx.mark_non_differentiable(means, vars_)
        return total, means, vars_

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        g = grads[0]
        k, j, eps, _ = ctx.sizes
        saved = ctx.saved_tensors
        w, kernels, mean_z, cov, rstd, mean = saved[:6]
        shifts, inputs = saved[6 : 6 + k], saved[6 + k : 6 + 2 * k]
        weights, values = saved[6 + 2 * k : 6 + 2 * k + j], saved[6 + 2 * k + j :]
        if torch.is_grad_enabled():
            return _differentiable(ctx, g, w, kernels, inputs, weights, values)
        needs = ctx.needs_input_grad
        flat_g = rows(g)
        shifted = [
            rows(z) if own else rows(z) - s
            for z, s, own in zip(inputs, shifts, ctx.own, strict=True)
        ]
        sum_g = flat_g.sum(0)
        p = torch.stack([flat_g.t() @ z for z in shifted])
        # sum over the batch of g (y - mean)
        t = (kernels * p).sum(-1) - sum_g * mean
        dw = (rstd * t).sum(-1) if needs[1] else None
        factor = w[:, None] * rstd
        bend = rstd * rstd * t
        dk = None
        if needs[2]:
            dk = factor[:, :, None] * (
                p - sum_g[:, None] * mean_z[:, None, :] - bend[:, :, None] * (kernels @ cov)
            )
        folded = factor[:, :, None] * kernels
        back = kernels.transpose(1, 2) @ ((factor * bend)[:, :, None] * kernels) / ctx.count
        constant = (back @ mean_z[:, :, None]).squeeze(-1) - (sum_g / ctx.count) @ folded
        dz: list[Tensor | None] = []
        for i, z in enumerate(shifted):
            if not needs[4 + i]:
                dz.append(None)
                continue
            flat = torch.addmm(constant[i], flat_g, folded[i]).addmm_(z, back[i], alpha=-1)
            dz.append(image(flat, inputs[i]))
        found = [dot(g, v) if needs[4 + k + i] else None for i, v in enumerate(values)]
        found += [g * x if needs[4 + k + j + i] else None for i, x in enumerate(weights)]
        found += [g if need else None for need in needs[4 + k + 2 * j :]]
        db = torch.zeros_like(mean) if ctx.biased and needs[3] else None
        return (None, dw, dk, db, *dz, *found)


def _differentiable(
    ctx: Any,
    g: Tensor,
    w: Tensor,
    kernels: Tensor,
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    values: Sequence[Tensor],
) -> Any:
    """The same gradients as expressions that can be differentiated again."""
    k, j, eps, _ = ctx.sizes
    needs = ctx.needs_input_grad
    # Views, so that what one of them is made from is not reached through another.
    w, kernels = w.view_as(w), kernels.view_as(kernels)
    inputs, weights, values = ([t.view_as(t) for t in ts] for ts in (inputs, weights, values))
    total: Any = 0
    for i, z in enumerate(inputs):
        y = F.conv2d(z, kernels[i][:, :, None, None])
        scale = w[i].expand(y.shape[1]).contiguous()
        total = total + F.batch_norm(y, None, None, scale, None, True, 0.0, eps)
    for weight, value in zip(weights, values, strict=True):
        total = total + value * weight
    leaves = [w, kernels, *inputs, *weights, *values]
    asked = [needs[1], needs[2], *needs[4:]]
    wanted = [i for i, need in enumerate(asked[: len(leaves)]) if need]
    found = torch.autograd.grad(total, [leaves[i] for i in wanted], g, create_graph=True)
    slopes: list[Tensor | None] = [None] * len(leaves)
    for i, slope in zip(wanted, found, strict=True):
        slopes[i] = slope
    db = g.new_zeros(kernels.shape[:2]) if ctx.biased and needs[3] else None
    plain = (g if need else None for need in asked[len(leaves) :])
    return (None, slopes[0], slopes[1], db, *slopes[2:], *plain)
