"""What arrives at a node in one-path mode: the picked operations alone, weighed together.

An edge is `w[p] f_p(x) + (sum w - w[p])` for the picked option p: with a one-hot row the value of
f_p, and every weight that was not picked has the sum of the gradients above as its own (GDAS, arXiv
1910.04465). Over the edges of a node that is one weighted sum and one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nasdsl.fusion.sums import dot


def picked_sum(
    edges: Sequence[nn.Module],
    inputs: Sequence[Tensor],
    rows: Sequence[Tensor],
    picks: Sequence[int],
    plain: Sequence[Tensor] = (),
) -> Tensor:
    """The sum of one-path choices, and of values that are added as they are."""
    if any(type(p) is not int for p in picks):
        # Two operations of an edge run: the modules know how.
        total: Any = sum(e(x, w, p) for e, x, w, p in zip(edges, inputs, rows, picks, strict=True))
        return sum(plain, total)  # type: ignore[no-any-return]
    values = [e.run(x, p, ()) for e, x, p in zip(edges, inputs, picks, strict=True)]  # type: ignore[operator]
    made: Tensor = _Picked.apply(tuple(picks), *rows, *values, *plain)
    return made


class _Picked(torch.autograd.Function):
    """`apply(picks, *rows, *values, *plain)`, rows of any widths."""

    @staticmethod
    def forward(ctx: Any, picks: tuple[int, ...], *tensors: Tensor) -> Tensor:
        n = len(picks)
        rows, values, plain = tensors[:n], tensors[n : 2 * n], tensors[2 * n :]
        weights = [row[p] for row, p in zip(rows, picks, strict=True)]
        # Zero to rounding where rows are one-hot.
        rest = torch.cat(rows).sum() - torch.stack(weights).sum()
        total = torch.addcmul(rest, values[0], weights[0])
        for value, weight in zip(values[1:], weights[1:], strict=True):
            total.addcmul_(value, weight)
        for value in plain:
            total.add_(value)
        ctx.picks = picks
        ctx.plain = len(plain)
        ctx.save_for_backward(*rows, *values)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (g,) = grads
        picks, needs = ctx.picks, ctx.needs_input_grad
        n = len(picks)
        saved = ctx.saved_tensors
        rows, values = saved[:n], saved[n:]
        found: list[Tensor | None] = [None] * n
        if any(needs[1 : 1 + n]):
            own = torch.stack([dot(g, value) for value in values])
            widths = [len(row) for row in rows]
            taken = [i == p for width, p in zip(widths, picks, strict=True) for i in range(width)]
            whose = [e for e, width in enumerate(widths) for _ in range(width)]
            mask = torch.tensor(taken, device=g.device)
            flat = torch.where(mask, own[torch.tensor(whose, device=g.device)], g.sum())
            found = [
                part if need else None
                for part, need in zip(flat.split(widths), needs[1 : 1 + n], strict=True)
            ]
        slopes = [
            g * row[p] if need else None
            for row, p, need in zip(rows, picks, needs[1 + n : 1 + 2 * n], strict=True)
        ]
        rest = [g if need else None for need in needs[1 + 2 * n :]]
        return (None, *found, *slopes, *rest)
