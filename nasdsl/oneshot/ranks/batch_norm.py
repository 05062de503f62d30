"""Batch-norm over the batch of all ranks, exact and as often differentiable as is wanted.

Every rank contributes count, sum and sum of squares of its part, in double precision and one
message; from the totals each normalises its own images. `torch.nn.SyncBatchNorm` does the same,
on CUDA devices alone and to the first derivative.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from nasdsl.oneshot.precision import single
from nasdsl.oneshot.ranks.pair import across
from nasdsl.oneshot.ranks.world import SYNCHRONISED, World
from nasdsl.ops.batch import batch_mean


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`F.batch_norm` of the images `x (n, c, …)` of all ranks, at least one on each."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    dims = [0, *range(2, x.dim())]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    # Under autocast x has few digits; its statistics keep those of float32, as kernels do.
    kind, x = x.dtype, single(x)
    # Locally around the local mean: a sum of plain squares would lose digits in float32.
    mean_C = x.mean(dims)
    square_C = (x - mean_C.view(shape)).square().sum(dims).double()
    local_C = mean_C.double()
    n = x.numel() // x.shape[1]
    counted = local_C.new_full((1,), float(n))
    totals = across(torch.cat([counted, n * local_C, square_C + n * local_C.square()]))
    count = totals[0].detach()
    mu_C, power_C = (totals[1:] / count).chunk(2)
    var_C = (power_C - mu_C.square()).clamp(min=0)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mu_C.detach().to(running_mean), momentum)
            unbiased = var_C.detach() * count / (count - 1)
            running_var.lerp_(unbiased.to(running_var), momentum)
    scale_C = torch.rsqrt(var_C + eps)
    y = (x - mu_C.to(x.dtype).view(shape)) * scale_C.to(x.dtype).view(shape)
    if weight is not None:
        y = y * weight.view(shape)
    return (y if bias is None else y + bias.view(shape)).to(kind)


def mean(x_NC: Tensor) -> Tensor:
    """The mean `(c,)` of the images of all ranks."""
    wide = single(x_NC)
    count = wide.new_full((1,), float(len(x_NC)))
    totals = across(torch.cat([count, wide.sum(0)]))
    return (totals[1:] / totals[0].detach()).to(x_NC.dtype)


class _Synchronised(TorchFunctionMode):
    """Takes the place of everything inside that is taken over a batch."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is F.batch_norm:
            return batch_norm(*args, **(kwargs or {}))
        if func is batch_mean:
            return mean(*args)
        return func(*args, **(kwargs or {}))


def synchronised(world: World) -> AbstractContextManager[Any]:
    """Inside, batch-norms of a forward pass see the images of all ranks, if the world says so.

    Whatever calls `torch.nn.functional.batch_norm` is reached: modules of every kind, and graphs
    whose modules are opened (the profiles `reference` and `launch`); not kernels that normalise
    inside.
    """
    if world.several and world.batch_norm == SYNCHRONISED:
        return _Synchronised()
    return nullcontext()
