"""Stop rule by name: one line per component of the slot `stop`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nasdsl.ir.config import Component
from nasdsl.oneshot.parts import StopRule
from nasdsl.oneshot.stop.count import Count
from nasdsl.oneshot.stop.eigenvalue import Eigenvalue
from nasdsl.oneshot.stop.plateau import Plateau

STOPS: Mapping[str, Callable[[Component], StopRule]] = MappingProxyType(
    {
        "count": lambda c: Count(
            str(c.get("op")), c.get("cells"), int(c.get("above")), c.get("start")
        ),
        "plateau": lambda c: Plateau(int(c.get("epochs")), c.get("start")),
        "eigenvalue": lambda c: Eigenvalue(
            int(c.get("every")),
            c.get("start"),
            int(c.get("window")),
            int(c.get("delta")),
            float(c.get("factor")),
            then if isinstance(then := c.get("then"), Component) else None,
        ),
    }
)
