"""Batch-norm as functions of a module that stays where it is: scaled, shared, counted together.

`y = scale (gamma (x - mean) / sqrt(var + eps) + beta)`, in training with the statistics of the
batch, which move the running ones, else with the running ones. The modules keep parameters and
buffers; they are read when the function runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

#: Whether running statistics move; false where something is run a second time.
_MOVING: ContextVar[bool] = ContextVar("moving", default=True)


@contextlib.contextmanager
def resting() -> Iterator[None]:
    """Let the functions of this file compute without moving running statistics."""
    token = _MOVING.set(False)
    try:
        yield
    finally:
        _MOVING.reset(token)


def openable(module: nn.Module) -> bool:
    """Whether these functions compute what a batch-norm module does."""
    return (
        type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
        and isinstance(module, _BatchNorm)
        and module.momentum is not None
        and bool(module.track_running_stats)
    )


def normalised(x: Tensor, bn: _BatchNorm, scale: Tensor | None = None) -> Tensor:
    """What `scale * bn(x)` is, without counting the batch; `scale` is one number.

    Where the scale is a weight of the mix this is one operator in place of three: the weight is
    the affine scale of the normalisation, and its gradient, sum of g times the normalised x, is
    what batch-norm computes for that in any case.
    """
    weight: Tensor | None = bn.weight
    bias: Tensor | None = bn.bias
    if scale is not None:
        if weight is None:
            # A copy: kernels for channels last read the scale as if it were contiguous.
            weight = scale.to(x.dtype).expand(bn.num_features).contiguous()
        else:
            weight = weight * scale
            bias = bias * scale if bias is not None else None
    mean, var = bn.running_mean, bn.running_var
    if bn.training and mean is not None and var is not None and not _MOVING.get():
        mean, var = torch.zeros_like(mean), torch.zeros_like(var)
    return F.batch_norm(x, mean, var, weight, bias, bn.training, bn.momentum or 0.0, bn.eps)


def shared(x: Tensor, norms: Sequence[_BatchNorm]) -> tuple[Tensor, ...]:
    """What every one of several equal batch-norms without affine parameters makes of one input.

    In training they all give the same, which is computed once, and the running statistics of all
    of them move. In evaluation each has its own running statistics.
    """
    first = norms[0]
    if not all(bn.training for bn in norms):
        return tuple(normalised(x, bn) for bn in norms)
    # With momentum 1 the statistics of the batch themselves are left in fresh buffers.
    mean, var = torch.zeros_like(first.running_mean), torch.zeros_like(first.running_var)  # type: ignore[arg-type]
    y = F.batch_norm(x, mean, var, None, None, True, 1.0, first.eps)
    follow(norms, [mean] * len(norms), [var] * len(norms))
    return (y,) * len(norms)


def follow(norms: Sequence[_BatchNorm], means: Sequence[Tensor], vars_: Sequence[Tensor]) -> None:
    """Move running statistics, of equal momentum, towards those of a batch (unbiased)."""
    if not _MOVING.get():
        return
    momentum = norms[0].momentum or 0.0
    with torch.no_grad():
        running: Any = [bn.running_mean for bn in norms], [bn.running_var for bn in norms]
        torch._foreach_lerp_(running[0], list(means), momentum)
        torch._foreach_lerp_(running[1], list(vars_), momentum)


def moved(
    groups: Sequence[Sequence[_BatchNorm]],
    means: Sequence[Tensor | None],
    vars_: Sequence[Tensor | None],
) -> None:
    """Move the running statistics of all joined batch-norms, which have one momentum."""
    norms: list[_BatchNorm] = []
    parts: tuple[list[Tensor], list[Tensor]] = [], []
    for group, mean, var in zip(groups, means, vars_, strict=True):
        if mean is None or var is None:
            continue
        sizes = [bn.num_features for bn in group]
        norms.extend(group)
        parts[0].extend(mean.split(sizes))
        parts[1].extend(var.split(sizes))
    if norms:
        follow(norms, *parts)


def counted(*norms: _BatchNorm) -> None:
    """Count one batch in every batch-norm that is in training, with one operator."""
    counts = [bn.num_batches_tracked for bn in norms if bn.training]
    if counts:
        torch._foreach_add_(counts, 1)  # type: ignore[arg-type]
