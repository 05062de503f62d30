"""Gradient rule by name: one line per component of the slots `freeze` and `align`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nasdsl.ir.config import Component
from nasdsl.oneshot.gradients.align import Align
from nasdsl.oneshot.gradients.freeze import Freeze
from nasdsl.oneshot.parts import GradientRule

FREEZES: Mapping[str, Callable[[Component], GradientRule]] = MappingProxyType(
    {
        "alignment": lambda c: Freeze(int(c.get("every")), float(c.get("below"))),
    }
)

ALIGNMENTS: Mapping[str, Callable[[Component], GradientRule]] = MappingProxyType(
    {
        "layers": lambda c: Align(
            c.get("weight"), float(c.get("eps")), str(c.get("form")), c.get("cells")
        ),
    }
)
