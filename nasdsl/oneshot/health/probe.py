"""Two fixed batches to measure on, and a search that is left as it was.

A measurement takes its images beside the streams of the search, draws nothing from its generators,
and puts the running statistics back: the search goes the same way with it and without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from nasdsl.codegen.supernet import Supernet
from nasdsl.oneshot.session import Batch, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What measurements see: the session, its dense supernet, and the mix on the host.

    `rows` is the mix as `Session.mix_by_decision` gives it.
    """

    session: Session
    model: Supernet
    rows: Mapping[str, Mapping[str, list[float]]]

    def batch(self, part: str) -> Batch:
        """The first batch of `train` or `valid`, not augmented: the same at every epoch."""
        x, y = self.session.probe(part)
        if x.is_floating_point():
            x = x.to(next(self.model.parameters()).dtype)
        if x.dim() == 4:
            x = x.contiguous(memory_format=self.session.layout)
        return x, y

    def alphas(self) -> dict[str, Tensor]:
        """Copies of the alphas, to differentiate by."""
        return {n: a.clone().requires_grad_() for n, a in self.session.arch.detached().items()}

    def expected(self, alphas: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The mix without noise, differentiable in the alphas given."""
        given = alphas if alphas is not None else self.session.arch.detached()
        return self.session.parts.sampler.expected(given, self.model.tables)

    def logits(self, x: Tensor, mix: Mapping[str, Tensor]) -> Tensor:
        found: Tensor = self.model(x, mix)
        return found


@contextmanager
def untouched(session: Session, rows: Mapping[str, Mapping[str, list[float]]]) -> Iterator[Probe]:
    """A probe; buffers, mode and torch's generators are put back behind it.

    Raises NotExecutable for a space that no dense supernet holds.
    """
    model = session.supernet.in_mode("dense")
    training = session.supernet.training
    buffers = {n: b.clone() for n, b in session.supernet.named_buffers()}
    devices = [session.device] if session.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        try:
            model.train()
            yield Probe(session=session, model=model, rows=rows)
        finally:
            session.supernet.train(training)
            with torch.no_grad():
                for n, b in session.supernet.named_buffers():
                    b.copy_(buffers[n])
