"""Selection rule by name: one line per component of the slot `select`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nasdsl.ir.config import Component
from nasdsl.oneshot.parts import Selector
from nasdsl.oneshot.select.argmax import Argmax
from nasdsl.oneshot.select.threshold import Threshold

SELECTORS: Mapping[str, Callable[[Component], Selector]] = MappingProxyType(
    {
        "argmax": lambda c: Argmax(c.get("limit"), c.get("cells")),
        "threshold": lambda c: Threshold(
            float(c.get("value")), int(n) if (n := c.get("at_most")) is not None else None
        ),
    }
)
