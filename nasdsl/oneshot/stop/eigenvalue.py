"""Stop, or regularize harder, when the curvature in the alphas rises (RobustDARTS, 1909.09656).

The largest eigenvalue of the validation loss's Hessian in the alphas is taken on one validation
batch every few epochs. Means over `window` values are compared `delta` evaluations apart; where the
later one is more than `factor` times the earlier one, the architecture of that earlier evaluation
counts. With `then = raise(weights.decay, by, up_to)` the search goes back to the weights and
alphas of that evaluation and goes on with a larger decay (DARTS-ADA).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nasdsl.ir.config import Component
from nasdsl.oneshot.accumulate import parts_of
from nasdsl.oneshot.health.curvature import hessian_product, largest_eigenvalue
from nasdsl.oneshot.parts import ARCH, Verdict
from nasdsl.oneshot.session import Session
from nasdsl.oneshot.twice import twice


@dataclass(slots=True)
class Eigenvalue:
    """`eigenvalue(every, start, window, delta, factor, then)`."""

    every: int
    start: Any
    window: int
    delta: int
    factor: float
    then: Component | None
    #: Eigenvalues so far, and the alphas they were taken at, newest last.
    values: list[float] = field(default_factory=list)
    alphas: list[dict[str, Tensor]] = field(default_factory=list)
    #: Supernets of the same evaluations, where the search may go back to them.
    supernets: list[dict[str, Tensor]] = field(default_factory=list)

    def after_epoch(self, session: Session, epoch: int) -> Verdict | None:
        if (epoch + 1) % self.every:
            return None
        self.values.append(measure(session))
        self.alphas.append({n: a.detach().clone() for n, a in session.arch.alphas().items()})
        self.alphas = self.alphas[-self.delta - 1 :]
        if self.then is not None:
            held = {n: t.detach().clone() for n, t in session.supernet.state_dict().items()}
            self.supernets = [*self.supernets, held][-self.delta - 1 :]
        if not session.time("stop").reached(self.start) or len(self.values) <= self.delta:
            return None
        now, before = self._mean(len(self.values)), self._mean(len(self.values) - self.delta)
        if before <= 0 or now / before <= self.factor:
            return None
        reason = f"eigenvalue {now:.3g}, {self.factor:g} times {before:.3g}"
        if self.then is not None:
            return self._harder(session, reason)
        return Verdict(reason=reason, stop=True, alphas=self.alphas[0])

    def _harder(self, session: Session, reason: str) -> Verdict | None:
        """Back to the earlier evaluation with a larger value; None once the limit is reached."""
        if self.then is None:
            return None
        target = str(self.then.get("0"))
        slot, _, argument = target.partition(".")
        now = session.now(session.recipe.get(slot).get(argument), slot)
        limit = self.then.get("up_to")
        larger = now * float(self.then.get("by"))
        if limit is not None:
            larger = min(larger, float(limit))
        if larger <= now:
            return None
        verdict = Verdict(
            reason=f"{reason}; {target} is now {larger:g}",
            alphas=self.alphas[0],
            supernet=self.supernets[0],
            changes=((target, larger),),
        )
        self.values, self.alphas, self.supernets = [], [], []
        return verdict

    def _mean(self, end: int) -> float:
        """The mean of the last `window` of the first `end` values."""
        part = self.values[max(0, end - self.window) : end]
        return sum(part) / len(part)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        kept: dict[str, Tensor] = {}
        for what, held in (("a", self.alphas), ("s", self.supernets)):
            kept |= {f"{what}:{i}:{n}": t for i, part in enumerate(held) for n, t in part.items()}
        return kept, {"values": self.values, "held": [len(self.alphas), len(self.supernets)]}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        self.values = list(values["values"])
        alphas, supernets = values["held"]
        self.alphas = [{} for _ in range(alphas)]
        self.supernets = [{} for _ in range(supernets)]
        for key, tensor in tensors.items():
            what, i, name = key.split(":", 2)
            (self.alphas if what == "a" else self.supernets)[int(i)][name] = tensor


def measure(session: Session) -> float:
    """The largest eigenvalue on one validation batch, with running statistics left alone.

    Where batches are gone through in parts, on the first of it.
    """
    x, y = session.next_valid()
    part = parts_of(len(y), session.numerics.accumulate)[0]
    x, y = x[part], y[part]
    buffers = {n: b.clone() for n, b in session.supernet.named_buffers()}
    session.supernet.train()
    sample = session.sample(ARCH, training=False)
    with twice():
        loss = session.loss(session.forward(x, sample, exact=True), y)
    product, size = hessian_product(loss, list(session.alphas.values()))
    start = torch.randn(size, generator=session.noise).to(loss)
    found = largest_eigenvalue(product, start)
    with torch.no_grad():
        for n, b in session.supernet.named_buffers():
            b.copy_(buffers[n])
    return found
