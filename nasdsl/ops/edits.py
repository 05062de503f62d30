"""What graph edits put into supernets: channels that pass by, shuffled, scaled, explored."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nasdsl.ir.op import Prim
from nasdsl.ops.batch import batch_mean


class ChannelsFrom(nn.Module):
    """The channels from `first` on, max-pooled over `stride` with windows that cover the border."""

    def __init__(self, first: int, stride: int) -> None:
        super().__init__()
        self.first = first
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        rest = x.narrow(1, self.first, x.shape[1] - self.first)
        if self.stride == 1:
            return rest
        pool = getattr(nn.functional, f"max_pool{x.dim() - 2}d")
        pooled: Tensor = pool(rest, self.stride, self.stride, ceil_mode=True)
        return pooled


def channels_from(prim: Prim) -> nn.Module:
    return ChannelsFrom(prim.integer("first"), prim.integer("stride"))


class ChannelShuffle(nn.Module):
    """The channels of every group in turn (ShuffleNet, arXiv 1707.01083).

    Of 8 channels in 4 groups the order is 0 2 4 6 1 3 5 7. Where groups do not divide the
    channels, the last one is filled up and what fills it is left out again.
    """

    order: Tensor

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.channels = channels
        self.groups = groups
        order = torch.tensor(self.sources(channels, groups))
        self.register_buffer("order", order, persistent=False)

    @staticmethod
    def sources(channels: int, groups: int) -> list[int]:
        """Where each channel comes from."""
        each = -(-channels // groups)
        order = [g * each + i for i in range(each) for g in range(groups)]
        return [c for c in order if c < channels]

    def forward(self, x: Tensor) -> Tensor:
        if self.channels % self.groups == 0:
            split = x.unflatten(1, (self.groups, self.channels // self.groups))
            return split.transpose(1, 2).flatten(1, 2)
        return x.index_select(1, self.order)


def channel_shuffle(prim: Prim) -> nn.Module:
    return ChannelShuffle(prim.inp.channels, prim.integer("groups"))


class Scaled(nn.Module):
    """`by` times the input; a search sets `by` from step to step."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        return x * self.by


def scaled(prim: Prim) -> nn.Module:
    return Scaled(prim.number("by"))


class Explorer(nn.Module):
    """Weights `(options,)` that an input `(n, c, ...)` asks for; a search sets `by`.

    `by` * softmax(mean over the batch of relu(B relu(A mean(x)))), with c / 4 hidden channels.
    """

    def __init__(self, channels: int, options: int) -> None:
        super().__init__()
        hidden = max(1, channels // 4)
        self.squeeze = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, options)
        self.by = 0.0

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.flatten(2).mean(2) if x.dim() > 2 else x
        asked = self.expand(self.squeeze(pooled).relu()).relu()
        return self.by * batch_mean(asked).softmax(0)


class Dropped(nn.Dropout):
    """Dropout whose `p` a search sets from step to step."""


def dropped(prim: Prim) -> nn.Module:
    return Dropped(prim.number("p"))
