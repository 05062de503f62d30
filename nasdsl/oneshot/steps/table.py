"""Step rule by name: one line per component of the slot `step`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nasdsl.ir.config import Component
from nasdsl.oneshot.parts import StepRule
from nasdsl.oneshot.steps.first_order import FirstOrder

ALTERNATING: Mapping[str, Callable[[Component], StepRule]] = MappingProxyType(
    {
        "first": lambda c: FirstOrder(),
    }
)

STEPS: Mapping[str, Callable[[Component], StepRule]] = MappingProxyType(
    {
        "alternating": lambda c: ALTERNATING[str(c.get("order") or "first")](c),
    }
)
