"""What arrives at a node in one-path mode: the picked operations alone, weighed together.

An edge is `w[p] f_p(x) + (sum w - w[p])` for the picked option p: with a one-hot row the value of
f_p, and every weight that was not picked has the sum of the gradients above as its own (GDAS, arXiv
1910.04465). Over the edges of a node that is one weighted sum and one number. The numbers of all
nodes are gathered from the tables at once: `TakePaths`; then `PickedSum` runs for every node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasdsl.fusion.paths import Chain, State, Way, count, plain, run
from nasdsl.fusion.sums import dot


@dataclass(frozen=True, slots=True)
class Taken:
    """Of the E edges of one node: weights of the picked options `(E,)`, and the sum of all others.

    Where two operations of an edge run, there are `rows` in place of both.
    """

    picked: Tensor | None = None
    rest: Tensor | None = None
    rows: tuple[Tensor, ...] = ()


class TakePaths:
    """`take(edges, mixes, picks) -> (Taken, ...)`, one for each node; batches are counted on the way.

    `edges` are the choices of all nodes in order, `mixes` the mixes of instances, `picks` an option
    for every edge. `places` says for every edge of every node which mix and row is its own.
    """

    def __init__(
        self,
        places: tuple[tuple[tuple[int, int], ...], ...],
        ways: tuple[tuple[Way, ...], ...],
    ) -> None:
        self.places = places
        self.ways = ways
        self.__name__ = self.__qualname__ = "take_paths"
        self.__module__ = __name__

    def __deepcopy__(self, memo: Any) -> TakePaths:
        return self

    def __call__(
        self, edges: Sequence[nn.Module], mixes: Sequence[Tensor], picks: Sequence[int]
    ) -> tuple[Taken, ...]:
        if not plain(picks):
            return tuple(Taken(rows=tuple(mixes[m][r] for m, r in node)) for node in self.places)
        taken: list[tuple[nn.Module, Chain]] = []
        for edge, pick, ways in zip(edges, picks, self.ways, strict=True):
            steps = ways[pick]
            if isinstance(steps, tuple):
                taken.append((branch(edge, pick), steps))
        count(taken)
        return self._weights(mixes, picks)

    def _weights(self, mixes: Sequence[Tensor], picks: Sequence[int]) -> tuple[Taken, ...]:
        # Instances that share a table come with one tensor, which is gathered from once.
        tables = list({id(m): m for m in mixes}.values())
        weight_at: dict[int, int] = {}
        row_at: dict[int, int] = {}
        weights = rows = 0
        for m in tables:
            weight_at[id(m)], row_at[id(m)] = weights, rows
            weights, rows = weights + m.numel(), rows + m.shape[0]
        at, own, owner = [], [], []
        left = iter(picks)
        for n, node in enumerate(self.places):
            for whose, r in node:
                mix = mixes[whose]
                at.append(weight_at[id(mix)] + r * mix.shape[1] + next(left))
                own.append(row_at[id(mix)] + r)
                owner.append(n)
        # One transfer for all three.
        index = torch.tensor([at, own, owner]).to(tables[0].device, non_blocking=True)
        one = len(tables) == 1
        flat = tables[0].reshape(-1) if one else torch.cat([m.reshape(-1) for m in tables])
        sums = tables[0].sum(1) if one else torch.cat([m.sum(1) for m in tables])
        picked = flat.index_select(0, index[0])
        # Zero to rounding where rows are one-hot.
        others = sums.index_select(0, index[1]) - picked
        rest = others.new_zeros(len(self.places)).index_add(0, index[2], others).unbind()
        parts = picked.split([len(node) for node in self.places])
        return tuple(Taken(picked=p, rest=r) for p, r in zip(parts, rest, strict=True))


class PickedSum:
    """`add(edges, states, taken, picks, plain)`: the sum of one-path choices, and of plain values."""

    def __init__(self, ways: tuple[tuple[Way, ...], ...]) -> None:
        self.ways = ways
        self.__name__ = self.__qualname__ = "picked_sum"
        self.__module__ = __name__

    def __deepcopy__(self, memo: Any) -> PickedSum:
        return self

    def __call__(
        self,
        edges: Sequence[nn.Module],
        states: Sequence[State],
        taken: Taken,
        picks: Sequence[int],
        plain: Sequence[Tensor] = (),
    ) -> Tensor:
        if taken.picked is None:
            # Two operations of an edge run: the modules know how.
            each = zip(edges, states, taken.rows, picks, strict=True)
            total: Any = sum(e(s.x, w, p) for e, s, w, p in each)
            return sum(plain, total)  # type: ignore[no-any-return]
        values = []
        for edge, state, pick, ways in zip(edges, states, picks, self.ways, strict=True):
            values.append(run(branch(edge, pick), ways[pick], state))
        made: Tensor = _Picked.apply(len(picks), taken.rest, taken.picked, *values, *plain)
        return made


def branch(edge: Any, pick: int) -> nn.Module:
    """The operation that a choice has under a number."""
    return edge.get_submodule(edge.labels[pick])  # type: ignore[no-any-return]


class _Picked(torch.autograd.Function):
    """`apply(n, rest (), weights (n,), *values, *plain)`: the first n values have weights."""

    @staticmethod
    def forward(ctx: Any, n: int, rest: Tensor, weights: Tensor, *tensors: Tensor) -> Tensor:
        values = tensors[:n]
        total = torch.addcmul(rest, values[0], weights[0])
        for i, value in enumerate(values[1:], 1):
            total.addcmul_(value, weights[i])
        for value in tensors[n:]:
            total.add_(value)
        ctx.save_for_backward(weights, *values)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        weights, *values = ctx.saved_tensors
        g = _like(grads[0], values)
        needs = ctx.needs_input_grad
        n = len(values)
        d_rest = g.sum() if needs[1] else None
        d_weights = None
        if needs[2]:
            d_weights = torch.stack([dot(g, value) for value in values])
        slopes: Sequence[Tensor | None] = [None] * n
        if any(needs[3 : 3 + n]):
            slopes = (g[None] * weights.view(-1, *[1] * g.dim())).unbind()
        found = [s if need else None for s, need in zip(slopes, needs[3 : 3 + n], strict=True)]
        return (None, d_rest, d_weights, *found, *(g if need else None for need in needs[3 + n :]))


def _like(g: Tensor, values: Sequence[Tensor]) -> Tensor:
    """A gradient laid out as most of the values: what is made from it needs no copy of its own."""
    same = [v.stride() == g.stride() for v in values]
    if sum(same) * 2 >= len(values) or g.dim() != 4:
        return g
    last = values[same.index(False)].is_contiguous(memory_format=torch.channels_last)
    return g.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
