"""Regions that have been made, by the digest of what they compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nasdsl.fusion.generated.emitter import Emitter
from nasdsl.fusion.generated.generated import Generated
from nasdsl.kernels.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A region as a function, and which of an outline's nodes arrive, weigh and leave."""

    generated: Generated
    inputs: tuple[int, ...]
    scalars: tuple[int, ...]
    outputs: tuple[int, ...]


class Known(dict[tuple[str, bool, bool, tuple[Emitter, ...]], Found]):
    """Regions by the digest of their outline, whether they keep nothing, whether they round it,
    and what runs them.

    All calls of them share one memory. A region brings its schedule and its programs along, so a
    network that is planned again, or pruned in some of its cells, makes only what is new.
    """

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory()
        self.rounded = Memory()

    def __deepcopy__(self, memo: Any) -> Known:
        return self  # regions hold nothing of a network
