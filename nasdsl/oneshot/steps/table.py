"""Step rule by name: one line per component of the slot `step`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nasdsl.ir.config import Component
from nasdsl.oneshot.parts import StepRule
from nasdsl.oneshot.steps.first_order import FirstOrder
from nasdsl.oneshot.steps.implicit import Implicit
from nasdsl.oneshot.steps.joint import Joint
from nasdsl.oneshot.steps.second_order import SecondOrder
from nasdsl.oneshot.steps.tempered import Tempered
from nasdsl.oneshot.steps.weights_only import WeightsOnly

ALTERNATING: Mapping[str, Callable[[Component], StepRule]] = MappingProxyType(
    {
        "first": lambda c: FirstOrder(),
        "second": lambda c: SecondOrder(str(c.get("hessian") or "exact")),
        "unrolled": lambda c: SecondOrder("unrolled"),
    }
)

STEPS: Mapping[str, Callable[[Component], StepRule]] = MappingProxyType(
    {
        "alternating": lambda c: ALTERNATING[str(c.get("order") or "first")](c),
        "joint": lambda c: Joint(),
        "implicit": lambda c: Implicit(int(c.get("terms")), float(c.get("scale"))),
        "tempered": lambda c: Tempered(c.get("high"), c.get("low"), float(c.get("memory"))),
        "weights_only": lambda c: WeightsOnly(),
    }
)
