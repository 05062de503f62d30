"""Losses and accuracies, gathered on the device and brought to the host once per epoch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(slots=True)
class Meter:
    """Sums of loss and hits over samples, on the device: no step waits for the host."""

    sums: Tensor
    count: int = 0

    @classmethod
    def on(cls, device: torch.device) -> Meter:
        return cls(torch.zeros(2, dtype=torch.float64, device=device))

    def add(self, loss: Tensor, logits: Tensor, y: Tensor) -> None:
        """Record a batch: mean loss, logits `(n, classes)`, labels `(n,)`."""
        n = y.shape[0]
        hits = (logits.detach().argmax(dim=1) == y).sum()
        self.sums += torch.stack([loss.detach().double() * n, hits.double()])
        self.count += n

    def clear(self) -> None:
        """Begin anew, in the same place."""
        self.sums.zero_()
        self.count = 0

    def read(self) -> tuple[float, float]:
        """Mean loss and accuracy in percent; one transfer to the host."""
        if self.count == 0:
            return float("nan"), float("nan")
        loss, hits = (self.sums / self.count).tolist()
        return loss, 100 * hits


def top_k(logits: Tensor, y: Tensor, k: int) -> Tensor:
    """Share of samples whose label is among the k best, in percent; k at most the classes."""
    k = min(k, logits.shape[1])
    hits = (logits.topk(k, dim=1).indices == y[:, None]).any(dim=1)
    return hits.double().mean() * 100


@torch.no_grad()
def evaluate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *args: object
) -> tuple[float, float]:
    """Mean loss and accuracy in percent over all samples, weighted by sample; mode unchanged."""
    meter: Meter | None = None
    for x, y in batches:
        meter = meter or Meter.on(x.device)
        logits = model(x, *args)
        meter.add(F.cross_entropy(logits, y), logits, y)
    return meter.read() if meter is not None else (float("nan"), float("nan"))
