"""A step that couples the sampler's temperature to the noise of the weights' gradients.

While the gradients of the weights are mostly noise the losses of the options say little, and the
sampler stays warm; once they point one way it cools. With g_t the gradient the weights move along
and b = `memory`, two running means are kept,
m_t = (1 - b) sum b^(t-i) g_i / (1 - b^t) and v_t = (1 - b) sum b^(t-i) |g_i|^2 / (1 - b^t).
Were the gradients independent noise of mean zero, |m_t|^2 / v_t would be
c_t = (1 - b)(1 + b^t) / ((1 + b)(1 - b^t)) in the mean, and were they constant it would be 1. So
s_t = (|m_t|^2 / v_t - c_t) / (1 - c_t), cut to [0, 1], estimates the share of signal, and the
temperature of step t + 1 is that of the sampler times high^(1 - s_t) low^(s_t). Gradient noise
scales are measured in arXiv 1812.06162; the coupling is this project's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nasdsl.oneshot.parts import ARCH, WEIGHTS
from nasdsl.oneshot.session import Session
from nasdsl.oneshot.steps.first_order import arch_step, weight_step

_TINY = 1e-30


@dataclass(slots=True)
class Tempered:
    """`tempered(high, low, memory)`: alternating first-order steps at a coupled temperature.

    It keeps one more copy of the weights, the running mean, and never waits for the device.
    """

    high: Any
    low: Any
    memory: float
    count: int = 0
    mean: dict[str, Tensor] = field(default_factory=dict)
    power: Tensor | None = None

    def run(self, session: Session) -> None:
        session.heat = self.heat(session)
        try:
            if session.due(ARCH):
                arch_step(session)
            if session.due(WEIGHTS):
                weight_step(session)
                self._follow({n: w.grad for n, w in session.weights.items()})
        finally:
            session.heat = None

    def heat(self, session: Session) -> Tensor | None:
        """What the sampler's temperature is multiplied by; None as long as nothing is known."""
        signal = self.signal()
        if signal is None:
            return None
        high, low = session.now(self.high, "step"), session.now(self.low, "step")
        warm: Tensor = high ** (1 - signal) * low**signal
        return warm

    def signal(self) -> Tensor | None:
        """The share of signal in the gradients so far; None before the second one."""
        if self.power is None or self.count < 2:
            return None
        kept = self.memory**self.count
        noise = (1 - self.memory) * (1 + kept) / ((1 + self.memory) * (1 - kept))
        # Both means carry the factor 1 / (1 - kept), of which one is left in the ratio.
        # By name, not as they came: sums of a resumed run are those of an uninterrupted one.
        ordered = [self.mean[name] for name in sorted(self.mean)]
        length = torch.stack([m.square().sum() for m in ordered]).sum()
        ratio = length / (self.power * (1 - kept)).clamp(min=_TINY)
        return ((ratio - noise) / (1 - noise)).clamp(0, 1)

    def _follow(self, gradients: Mapping[str, Tensor | None]) -> None:
        found = {n: g.detach() for n, g in gradients.items() if g is not None}
        if not found:
            return
        for name, slope in found.items():
            if name not in self.mean:
                # In one layout, before a restart and behind it: it decides the order of a sum.
                self.mean[name] = torch.zeros_like(slope, memory_format=torch.contiguous_format)
        for name, mean in self.mean.items():
            mean.mul_(self.memory)
            if name in found:
                mean.add_(found[name], alpha=1 - self.memory)
        power = torch.stack([g.square().sum() for g in found.values()]).sum() * (1 - self.memory)
        self.power = power if self.power is None else self.power * self.memory + power
        self.count += 1

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"mean:{name}": mean for name, mean in self.mean.items()}
        if self.power is not None:
            tensors["power"] = self.power
        return tensors, {"count": self.count}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        self.count = int(values["count"])
        self.power = tensors.get("power")
        self.mean = {
            key.removeprefix("mean:"): tensor.clone()
            for key, tensor in tensors.items()
            if key.startswith("mean:")
        }
