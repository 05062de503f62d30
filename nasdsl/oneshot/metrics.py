"""Losses and accuracies, gathered on the device and brought to the host once per epoch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasdsl.oneshot.ranks.world import ALONE, World


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

    def over(self, world: World) -> Meter:
        """What all ranks recorded; every rank has to ask."""
        if not world.several:
            return self
        own = self.sums.cpu()
        *sums, count = world.sum(torch.cat([own, own.new_tensor([self.count])])).tolist()
        return Meter(self.sums.new_tensor(sums), round(count))

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
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *args: object,
    world: World = ALONE,
) -> tuple[float, float]:
    """Mean loss and accuracy in percent over all samples, weighted by sample; mode unchanged.

    Ranks take whole batches in turn: what the statistics of a batch are does not depend on them.
    """
    meter: Meter | None = None
    for x, y in islice(batches, world.rank, None, world.size):
        meter = meter or Meter.on(x.device)
        logits = model(x, *args)
        meter.add(F.cross_entropy(logits, y), logits, y)
    return (meter or Meter.on(torch.device("cpu"))).over(world).read()
