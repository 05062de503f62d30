"""Measurement by name: one line per component of the slot `measure`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nasdsl.ir.config import Component
from nasdsl.oneshot.health.measures import (
    Alignment,
    Curvature,
    Entropy,
    Gap,
    GradientMatch,
    Measure,
    SkipShare,
)

MEASURES: Mapping[str, Callable[[Component], Measure]] = MappingProxyType(
    {
        "entropy": lambda c: Entropy(int(c.get("every"))),
        "skip_share": lambda c: SkipShare(int(c.get("every"))),
        "gap": lambda c: Gap(int(c.get("every"))),
        "gradient_match": lambda c: GradientMatch(int(c.get("every"))),
        "alignment": lambda c: Alignment(int(c.get("every"))),
        "eigenvalue": lambda c: Curvature(int(c.get("every")), int(c.get("iterations"))),
    }
)
