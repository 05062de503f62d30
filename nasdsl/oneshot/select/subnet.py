"""One architecture inside a trained supernet, with the supernet's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from nasdsl.codegen.supernet import Supernet
from nasdsl.ir.genotype import Genotype
from nasdsl.oneshot.metrics import evaluate
from nasdsl.oneshot.samplers.sample import picks
from nasdsl.oneshot.session import Session


def one_hot(supernet: Supernet, genotype: Genotype, like: Tensor) -> dict[str, Tensor]:
    """A genotype as a mix: 1 for what is picked; edges that are not kept weigh nothing."""
    found = {}
    for name, table in supernet.tables.items():
        mix = like.new_zeros(table.shape)
        for row, (decision, labels) in enumerate(zip(table.decisions, table.labels, strict=True)):
            for label in genotype.of(decision):
                mix[row, labels.index(label)] = 1.0
        found[name] = mix
    return found


class Subnet(nn.Module):
    """`subnet(x)`: the logits of one architecture; one path where it is one, else the mixture."""

    def __init__(self, supernet: Supernet, layout: torch.memory_format) -> None:
        super().__init__()
        self.supernet, self.layout = supernet, layout
        self.mix: Mapping[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 4:
            x = x.contiguous(memory_format=self.layout)
        if self.supernet.mode == "one_path":
            logits: Tensor = self.supernet(x, self.mix, picks(self.mix))
            return logits
        dense: Tensor = self.supernet(x, self.mix)
        return dense


class Mixed(nn.Module):
    """`mixed(x)`: the logits of a supernet under one mix."""

    def __init__(
        self, supernet: Supernet, layout: torch.memory_format, mix: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        self.supernet, self.layout, self.mix = supernet, layout, mix

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 4:
            x = x.contiguous(memory_format=self.layout)
        logits: Tensor = self.supernet(x, self.mix)
        return logits


@dataclass(slots=True)
class Subnets:
    """Measures architectures on held-out images; the supernet's statistics are put back.

    With `calibrate` the batch-norm statistics of each are measured anew on so many training
    images (SPOS, arXiv 1904.00420, section 3.3); without, those of the training are used.
    """

    session: Session
    calibrate: int | None = None
    #: Loss and accuracy of what was measured, so that two scores cost one pass.
    seen: dict[Genotype, tuple[float, float]] = field(default_factory=dict)

    def measure(self, genotype: Genotype) -> tuple[float, float]:
        """Loss and accuracy in percent on `search.valid`, in evaluation mode."""
        if genotype not in self.seen:
            self.seen[genotype] = self._measure(genotype)
        return self.seen[genotype]

    def _measure(self, genotype: Genotype) -> tuple[float, float]:
        session = self.session
        held = session.held
        if held is None:
            raise ValueError("this search has no held-out images to measure on")
        net = Subnet(_in_mode(session.supernet, genotype), session.layout)
        net.mix = one_hot(session.supernet, genotype, next(session.supernet.parameters()))
        with kept(session.supernet):
            net.eval()
            if self.calibrate:
                held.calibrate(net, self.calibrate)
            return evaluate(net, held.valid(), world=session.world)


def _in_mode(supernet: Supernet, genotype: Genotype) -> Supernet:
    """One path where every decision has at most one pick; else all options are weighed."""
    rows = [d for table in supernet.tables.values() for d in table.decisions]
    single = all(len(genotype.of(d)) <= 1 for d in rows)
    subsets = any(d.kind == "subset" for d in supernet.space.decisions)
    return supernet.in_mode("one_path" if single and not subsets else "dense")


@contextmanager
def kept(supernet: Supernet) -> Iterator[None]:
    """Buffers and modes are afterwards what they were."""
    buffers = {n: b.clone() for n, b in supernet.named_buffers()}
    modes = {m: m.training for m in supernet.modules()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in supernet.named_buffers():
                buffer.copy_(buffers[name])
        for module, mode in modes.items():
            module.training = mode
