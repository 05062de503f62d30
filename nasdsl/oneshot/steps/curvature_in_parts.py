"""Second derivatives of the loss of a batch that is gone through in parts.

Both the gradient and products with second derivatives are linear in the loss, so they add up over
parts. No graph outlives its part: every product goes through the parts once more, which is paid for
in time, and moves running statistics of batch normalisation again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from nasdsl.oneshot.accumulate import part_of, parts_of, passed
from nasdsl.oneshot.samplers.sample import Sample
from nasdsl.oneshot.session import Batch, Session
from nasdsl.oneshot.steps.curvature import Curvature
from nasdsl.oneshot.twice import twice


class CurvatureInParts:
    """`Curvature` of the training loss of a batch; `gradient` has no graph."""

    def __init__(self, session: Session, batch: Batch, sample: Sample) -> None:
        self.session, self.batch, self.sample = session, batch, sample
        self.drawn = _drawn(session.device)
        weights = dict(session.weights)
        # The graph of the sampler serves the products, too.
        found = passed(session, batch, sample, weights, keep=True).gradients
        self.gradient = {
            n: g if (g := found[n]) is not None else torch.zeros_like(w) for n, w in weights.items()
        }

    def times(self, vector: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """H_ww v."""
        return self._sum(lambda curvature: curvature.times(vector))

    def mixed(self, vector: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """d/d alpha of (dL/dw . v), by the names of the alphas."""
        return self._sum(lambda curvature: curvature.mixed(vector))

    def _sum(self, product: Callable[[Curvature], dict[str, Tensor]]) -> dict[str, Tensor]:
        session, size = self.session, len(self.batch[1])
        total: dict[str, Tensor] = {}
        with _again(self.drawn, session.device):
            for part in parts_of(size, session.numerics.accumulate):
                (x, y), own = part_of(self.batch, self.sample, part)
                with twice():
                    loss = session.loss(session.forward(x, own), y)
                share = loss * ((part.stop - part.start) / size)
                made = product(Curvature.of(share, dict(session.weights), session.alphas))
                total = {n: m.detach() + total[n] if total else m.detach() for n, m in made.items()}
                del loss, share, made
        return total


def curvature(session: Session, batch: Batch, sample: Sample) -> Curvature | CurvatureInParts:
    """Second derivatives of the training loss of a batch, as the session accumulates it."""
    if session.numerics.accumulate > 1:
        return CurvatureInParts(session, batch, sample)
    with twice():
        loss = session.loss(session.forward(batch[0], sample), batch[1])
    return Curvature.of(loss, dict(session.weights), session.alphas)


def _drawn(device: torch.device) -> tuple[Tensor, ...]:
    """Where torch's global generators stand."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return tuple(states)


@contextmanager
def _again(drawn: tuple[Tensor, ...], device: torch.device) -> Iterator[None]:
    """Operations that draw draw what they drew before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.set_rng_state(drawn[0])
        if len(drawn) > 1:
            torch.cuda.set_rng_state(drawn[1], device)
        yield
