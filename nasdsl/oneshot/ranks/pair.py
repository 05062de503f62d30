"""Sums over ranks through which gradients of any order are right.

Two functions, each the derivative of the other (f and g of Megatron-LM, arXiv 1909.08053, section
3): `enter` does nothing and sums the gradient, `leave` sums and does nothing to the gradient.
Values that all ranks hold alike enter the part of the batch that a rank computes on; its share of
the loss leaves it. What lies between is each rank's own, and all that is outside is equal on every
rank, gradients and second derivatives too: a step rule sees those of the whole batch.

Why no `DistributedDataParallel`: it averages what `backward()` puts into `.grad`, and step rules
take gradients by `torch.autograd.grad`, look ahead and differentiate twice. Averaging what they
make of local gradients would be another method, as none of that is linear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nasdsl.oneshot.ranks.world import reaching


class _Enter(torch.autograd.Function):
    """The identity; gradients are summed over ranks, all of them in one message."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        # What a loss ignores has no gradient, on all ranks alike: None stays None.
        ctx.set_materialize_grads(False)
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        there = [g for g in gradients if g is not None]
        summed = iter(_Leave.apply(*there) if there else ())
        return tuple(None if g is None else next(summed) for g in gradients)


class _Leave(torch.autograd.Function):
    """The sum over ranks; gradients are equal on all ranks already."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        return tuple(_summed(tensors))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        there = [g for g in gradients if g is not None]
        entered = iter(_Enter.apply(*there) if there else ())
        return tuple(None if g is None else next(entered) for g in gradients)


def _summed(tensors: tuple[Tensor, ...]) -> list[Tensor]:
    """The sums over ranks of tensors of one type, with one message; layouts stay."""
    flat = torch.cat([t.detach().reshape(-1) for t in tensors])
    with reaching():
        dist.all_reduce(flat)
    parts = flat.split([t.numel() for t in tensors])
    return [torch.empty_like(t).copy_(p.view(t.shape)) for t, p in zip(tensors, parts, strict=True)]


def enter(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as a rank's part of the batch sees them; those without gradient as they are."""
    names = [n for n, t in tensors.items() if t.requires_grad]
    if not names or not torch.is_grad_enabled():
        return dict(tensors)
    entered = _Enter.apply(*(tensors[n] for n in names))
    return {**tensors, **dict(zip(names, entered, strict=True))}


def leave(value: Tensor) -> Tensor:
    """The sum over ranks of what each computed from its part of the batch."""
    (total,) = _Leave.apply(value)
    found: Tensor = total
    return found


def across(value: Tensor) -> Tensor:
    """The sum over ranks of a value on which each rank goes on computing by itself."""
    (total,) = _Enter.apply(leave(value)) if value.requires_grad else (leave(value),)
    found: Tensor = total
    return found


def mean(total: Tensor, count: int) -> Tensor:
    """The mean over all ranks of `count` terms that sum to `total` on this one."""
    found = leave(torch.stack([total, total.new_tensor(count)]))
    return found[0] / found[1].detach()


def summed(gradients: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
    """Gradients of a loss that left its rank, by parameters that did not enter it."""
    names = [n for n, g in gradients.items() if g is not None]
    there = tuple(g for g in gradients.values() if g is not None)
    found = dict(zip(names, _summed(there), strict=True)) if there else {}
    return {n: found.get(n) for n in gradients}
