"""Images with their channels last, from the first operator on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nasdsl.fusion.rewriting import Ran, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelsLast:
    """Lay out the images that arrive with channels last; the operators behind keep that.

    Before: `forward(x, mix)`; after::

        laid = channels_last(x)

    Exact to rounding. Nothing happens to what is no image. This is layout, not fusion.
    """

    name: str = "channels_last"
    gain: str = "images with channels last"

    def run(self, work: Work) -> Ran:
        x = next(n for n in work.graph.nodes if n.op == "placeholder")
        users = list(x.users)
        if not users:
            return Ran(changes=0)
        first = next(n for n in work.graph.nodes if n.op != "placeholder")
        made = work.call(first, channels_last, x)
        for user in users:
            user.replace_input_with(x, made)
        return Ran(changes=1)


def channels_last(x: Tensor) -> Tensor:
    """An image batch `(n, c, h, w)` with channels last; anything else as it is."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
