"""Selection rule by name: one line per component of the slot `select`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nasdsl.ir.config import Component
from nasdsl.oneshot.parts import Selector
from nasdsl.oneshot.select.argmax import Argmax
from nasdsl.oneshot.select.asked import Asked
from nasdsl.oneshot.select.greedy import Greedy
from nasdsl.oneshot.select.perturbation import Perturbation
from nasdsl.oneshot.select.threshold import Threshold

SELECTORS: Mapping[str, Callable[[Component], Selector]] = MappingProxyType(
    {
        "argmax": lambda c: Argmax(c.get("limit"), c.get("cells")),
        "evolution": Asked.of,
        "random": Asked.of,
        "regularized": Asked.of,
        "local": Asked.of,
        "greedy": lambda c: Greedy(
            criterion=int(c.get("criterion")),
            start=c.get("start"),
            every=int(c.get("every")),
            size=int(c.get("history")),
            batch_step=int(c.get("batch_step")),
        ),
        "perturbation": lambda c: Perturbation(
            metric=str(c.get("metric")),
            every=int(c.get("every")),
            order=str(c.get("order")),
            norm=str(c.get("norm")),
        ),
        "threshold": lambda c: Threshold(
            float(c.get("value")), int(n) if (n := c.get("at_most")) is not None else None
        ),
    }
)
