"""Scaled losses for fp16, whose small gradients would be zero (arXiv 1710.03740, section 3.2).

The rule is that of `torch.amp.GradScaler`: gradients that are not finite skip their move and halve
the scale, `INTERVAL` steps without any double it. Gradients here are values, not fields of
parameters, so that they are unscaled where they are taken; and nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

START, GROWTH, BACKOFF, INTERVAL = 2.0**16, 2.0, 0.5, 2000


class Scaler:
    """The scale of a training and what it goes by, on the device."""

    def __init__(
        self, device: torch.device, start: float = START, interval: int = INTERVAL
    ) -> None:
        self.scale = torch.full((), start, device=device)
        #: Steps without an overflow since the scale last changed.
        self.good = torch.zeros((), device=device)
        #: 1 where a gradient of this step is not finite.
        self.bad = torch.zeros((), device=device)
        self.interval = interval

    def scaled(self, loss: Tensor) -> Tensor:
        return loss * self.scale

    def unscaled(self, gradients: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
        """Gradients of a scaled loss as those of the loss; what overflowed stays not finite."""
        there = {n: g for n, g in gradients.items() if g is not None}
        made = torch._foreach_mul(list(there.values()), 1 / self.scale) if there else ()
        return {**gradients, **dict(zip(there, made, strict=True))}

    def look(self, gradients: Mapping[str, Tensor | None]) -> Tensor:
        """1.0 where a gradient is not finite, so that its move is none; else 0.0."""
        there = [g for g in gradients.values() if g is not None]
        largest = nn.utils.get_total_norm(there, float("inf"))
        found = (~torch.isfinite(largest)).to(self.bad)
        torch.maximum(self.bad, found, out=self.bad)
        return found

    def update(self) -> None:
        """The end of a step: the scale of the next one."""
        good = (self.good + 1) * (1 - self.bad)
        grows = (good >= self.interval).to(good)
        factor = 1 + grows * (GROWTH - 1) - self.bad * (1 - BACKOFF)
        # In place: a recorded step reads them where they are.
        self.scale.mul_(factor)
        self.good.copy_(good * (1 - grows))
        self.bad.zero_()

    def state(self) -> dict[str, Tensor]:
        return {"scale": self.scale, "good": self.good}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave, between steps."""
        self.scale.copy_(tensors["scale"])
        self.good.copy_(tensors["good"])
        self.bad.zero_()
