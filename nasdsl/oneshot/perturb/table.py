"""Perturbation by name: one line per component of the slot `perturb`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nasdsl.ir.config import Component
from nasdsl.oneshot.parts import Perturbation
from nasdsl.oneshot.perturb.adversarial import Adversarial
from nasdsl.oneshot.perturb.noise import Noise

PERTURBATIONS: Mapping[str, Callable[[Component], Perturbation]] = MappingProxyType(
    {
        "random": lambda c: Noise(c.get("eps")),
        "adversarial": lambda c: Adversarial(c.get("eps"), int(c.get("steps"))),
    }
)
