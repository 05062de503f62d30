"""Operators over several values at once, packed along their channels.

A packed tensor is `(n, c_1 + c_2 + ..., h, w)`: the channels of its pieces one behind the other.
Every function here computes for each piece what the operator alone does, with one operator for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from nasdsl.fusion.norms import normalised


def repeated(x: Tensor, times: int) -> Tensor:
    """All pieces of a packed tensor, `times` over; channels come last in memory."""
    rows = x.permute(0, 2, 3, 1)
    n, h, w, c = rows.shape
    wide = rows[:, :, :, None].expand(n, h, w, times, c).reshape(n, h, w, times * c)
    return wide.permute(0, 3, 1, 2)


def joined_norm(
    x: Tensor, norms: Sequence[_BatchNorm], scale: Tensor | None = None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Equal batch-norms of the pieces of x; `scale` has a factor for every channel.

    Gives mean and unbiased variance of the batch as well, by which `moved` moves the running ones;
    in evaluation None. Norms of which some are in training run one by one.
    """
    first = norms[0]
    training = [bn.training for bn in norms]
    if any(training) and not all(training):
        return _apart(x, norms, scale), None, None
    weight, bias = _affine(norms, None if scale is None else scale.to(x.dtype))
    if training[0]:
        # With momentum 1 the statistics of the batch themselves are left in fresh buffers.
        mean, var = x.new_zeros(x.shape[1]), x.new_zeros(x.shape[1])
        return F.batch_norm(x, mean, var, weight, bias, True, 1.0, first.eps), mean, var
    running_mean: Any = torch.cat([bn.running_mean for bn in norms])  # type: ignore[misc]
    running_var: Any = torch.cat([bn.running_var for bn in norms])  # type: ignore[misc]
    y = F.batch_norm(x, running_mean, running_var, weight, bias, False, 0.0, first.eps)
    return y, None, None


def _affine(norms: Sequence[_BatchNorm], scale: Tensor | None) -> tuple[Any, Any]:
    if norms[0].weight is None:
        return scale, None
    weight, bias = torch.cat([bn.weight for bn in norms]), torch.cat([bn.bias for bn in norms])
    return (weight, bias) if scale is None else (weight * scale, bias * scale)


def _apart(x: Tensor, norms: Sequence[_BatchNorm], scale: Tensor | None) -> Tensor:
    sizes = [bn.num_features for bn in norms]
    scales = [None] * len(norms) if scale is None else scale.split(sizes)
    found = []
    for part, bn, s in zip(x.split(sizes, 1), norms, scales, strict=True):
        y = normalised(part, bn)
        found.append(y if s is None else y * s.view(1, -1, 1, 1))
    return torch.cat(found, 1)


class JoinedSum:
    """`add(before, plain, values, weights)`: several sums at once.

    What was `before`, plus plain pieces, plus weighted values. Piece p of `plain` goes to sum
    `owner[p]`; `weights` has `(sums * values)` numbers, one for every value in every sum.
    """

    def __init__(self, count: int, owner: tuple[int, ...]) -> None:
        self.count = count
        self.owner = owner
        self.index: dict[torch.device, Tensor] = {}
        self.__name__ = self.__qualname__ = "joined_sum"
        self.__module__ = __name__

    def __deepcopy__(self, memo: Any) -> JoinedSum:
        return self

    def __call__(
        self,
        before: Tensor | None,
        plain: Tensor | None,
        values: Tensor | None,
        weights: Tensor | None,
    ) -> Tensor:
        total = before if plain is None else self._plain(before, plain)
        if values is not None and weights is not None:
            total = self._weighted(total, values, weights)
        if total is None:
            raise ValueError("an empty sum")
        return total

    def _plain(self, total: Tensor | None, plain: Tensor) -> Tensor:
        # Channels last: indexing lays its results and gradients out in the order of the dimensions.
        rows = plain.permute(0, 2, 3, 1).unflatten(3, (len(self.owner), -1))
        *image, _, channels = rows.shape
        if total is None:
            sums = rows.new_zeros(*image, self.count, channels)
        else:
            sums = total.permute(0, 2, 3, 1).unflatten(3, (self.count, channels))
        index = self.index.get(plain.device)
        if index is None:
            index = self.index[plain.device] = torch.tensor(self.owner, device=plain.device)
        return sums.index_add(3, index, rows).flatten(3).permute(0, 3, 1, 2)

    def _weighted(self, total: Tensor | None, values: Tensor, weights: Tensor) -> Tensor:
        n, _, h, w = values.shape
        matrix = weights.to(values.dtype).view(self.count, -1)
        rows = values.permute(0, 2, 3, 1).reshape(n * h * w, matrix.shape[1], -1)
        factors = matrix.expand(n * h * w, -1, -1)
        if total is None:
            flat = torch.bmm(factors, rows)
        else:
            old = total.permute(0, 2, 3, 1).reshape(n * h * w, self.count, -1)
            flat = torch.baddbmm(old, factors, rows)
        return flat.view(n, h, w, -1).permute(0, 3, 1, 2)


class GatherWeights:
    """`gather(mixes) -> (vector, ...)`: numbers of all mixes, gathered at once, in stretches.

    `wanted` has for every stretch a place `(mix, row, column)` for every number; None is zero.
    """

    def __init__(self, wanted: tuple[tuple[tuple[int, int, int] | None, ...], ...]) -> None:
        self.wanted = wanted
        self.index: dict[Any, Tensor] = {}
        self.__name__ = self.__qualname__ = "gather_weights"
        self.__module__ = __name__

    def __deepcopy__(self, memo: Any) -> GatherWeights:
        return self

    def __call__(self, mixes: Sequence[Tensor]) -> tuple[Tensor, ...]:
        # Instances that share a table come with one tensor.
        number = {key: i for i, key in enumerate(dict.fromkeys(id(m) for m in mixes))}
        tables = list({id(m): m for m in mixes}.values())
        whose = tuple(number[id(m)] for m in mixes)
        shapes = tuple(tuple(t.shape) for t in tables)
        key = (whose, shapes, tables[0].device)
        index = self.index.get(key)
        if index is None:
            # Shapes and devices are few; kept, so that a step does not send them again.
            index = self.index[key] = self._index(whose, shapes).to(tables[0].device)
        flat = torch.cat([*(t.reshape(-1) for t in tables), tables[0].new_zeros(1)])
        return flat.index_select(0, index).split([len(w) for w in self.wanted])

    def _index(self, whose: tuple[int, ...], shapes: tuple[tuple[int, ...], ...]) -> Tensor:
        starts = [0]
        for rows, columns in shapes:
            starts.append(starts[-1] + rows * columns)
        places = []
        for stretch in self.wanted:
            for place in stretch:
                if place is None:
                    places.append(starts[-1])
                else:
                    mix, row, column = place
                    table = whose[mix]
                    places.append(starts[table] + row * shapes[table][1] + column)
        return torch.tensor(places)


class PackParameters:
    """`pack(convs) -> (tensor, ...)`: weights, then biases, of groups of convolutions.

    Those of which the order in memory is plain are copied together once for the whole network.
    Every parameter keeps its own gradient.
    """

    def __init__(self, groups: tuple[int, ...]) -> None:
        self.groups = groups
        self.__name__ = self.__qualname__ = "pack_parameters"
        self.__module__ = __name__

    def __deepcopy__(self, memo: Any) -> PackParameters:
        return self

    def __call__(self, convs: Sequence[nn.Conv2d]) -> tuple[Tensor | None, ...]:
        wanted: list[list[Tensor]] = []
        start = 0
        for count in self.groups:
            wanted.append([conv.weight for conv in convs[start : start + count]])
            start += count
        start = 0
        for count in self.groups:
            biases = [conv.bias for conv in convs[start : start + count]]
            wanted.append([b for b in biases if b is not None])
            start += count
        plain = [w for w in wanted if w and all(t.is_contiguous() for t in w)]
        found: dict[int, Tensor] = {}
        if plain:
            flat = torch.cat([t.reshape(-1) for w in plain for t in w])
            parts = flat.split([sum(t.numel() for t in w) for w in plain])
            for w, part in zip(plain, parts, strict=True):
                found[id(w)] = part.view(-1, *w[0].shape[1:])
        return tuple(
            None if not w else found[id(w)] if id(w) in found else torch.cat(w) for w in wanted
        )
