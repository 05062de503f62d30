"""Selection rule by name: one line per component of the slot `select`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nasdsl.ir.config import Component
from nasdsl.oneshot.parts import Selector
from nasdsl.oneshot.select.argmax import Argmax

SELECTORS: Mapping[str, Callable[[Component], Selector]] = MappingProxyType(
    {
        "argmax": lambda c: Argmax(),
    }
)
