"""Weighted sums: every value is kept once, weights get their gradients as dot products.

`out = sum_k w_k v_k`, where `w_k` is one number or None for a value that is added as it is.
A chain of products and sums keeps the same values and takes twice as many operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class _Weighted(torch.autograd.Function):
    """`apply(count, *weights, *values)`: the weights are those of the first `count` values."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> Tensor:
        weights, values = tensors[:count], tensors[count:]
        ctx.count = count
        ctx.plain = len(values) - count
        # Values that are only added are not needed again.
        ctx.save_for_backward(*weights, *values[:count])
        total: Tensor | None = None
        for weight, value in zip(weights, values, strict=False):
            total = value * weight if total is None else total.addcmul_(value, weight)
        for value in values[count:]:
            if total is None:
                raise ValueError("a weighted sum has a weight")
            total.add_(value)
        if total is None:
            raise ValueError("an empty sum")
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (g,) = grads
        saved = ctx.saved_tensors
        count = ctx.count
        weights, values = saved[:count], saved[count:]
        needs = ctx.needs_input_grad
        found: list[Tensor | None] = [None]
        for k, value in enumerate(values):
            found.append(dot(g, value) if needs[1 + k] else None)
        for k, weight in enumerate(weights):
            found.append(g * weight if needs[1 + count + k] else None)
        found.extend(g if need else None for need in needs[1 + 2 * count :])
        return tuple(found)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The sum of the products of two tensors of one shape, as a number."""
    if a.stride() == b.stride() and a.dtype == b.dtype and a.device == b.device:
        flat_a, flat_b = flat(a), flat(b)
        if flat_a is not None and flat_b is not None:
            return torch.dot(flat_a, flat_b)
    return (a * b).sum()


def flat(a: Tensor) -> Tensor | None:
    """All numbers of a dense tensor in the order of memory, without a copy; None if it is not."""
    if a.is_contiguous():
        return a.view(-1)
    if a.dim() == 4 and a.is_contiguous(memory_format=torch.channels_last):
        return a.permute(0, 2, 3, 1).reshape(-1)
    return None


def weighted_sum(weights: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """`sum_k w_k v_k` with the weights of the first values; those behind are added as they are.

    All values have one shape.
    """
    total: Tensor = _Weighted.apply(len(weights), *weights, *values)
    return total


def total(*values: Tensor) -> Tensor:
    """The sum of values of one shape."""
    return _Total.apply(*values)  # type: ignore[no-any-return]


class _Total(torch.autograd.Function):
    """Two or more values, summed in one tensor; nothing is kept."""

    @staticmethod
    def forward(ctx: Any, *values: Tensor) -> Tensor:
        out = torch.add(values[0], values[1])
        for value in values[2:]:
            out.add_(value)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return tuple(grads[0] if need else None for need in ctx.needs_input_grad)
