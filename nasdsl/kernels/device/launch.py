"""A kernel with its grid and arguments, as a value; and whether Triton is there."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nasdsl.kernels.toolchain import Missing

#: Positions of a tile: with twice as many a thread holds twice the registers, and few fit at once.
POSITIONS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What one launch needs; `constants` choose the variant that is compiled."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: dict[str, Any]
    constants: dict[str, Any] = field(default_factory=dict)
    warps: int = 4


#: Carries out launches in their order.
Launcher = Callable[[Launch], None]


def run(launch: Launch) -> None:
    """Runs it on the device of its tensors, or in the interpreter."""
    launch.kernel[launch.grid](**launch.arguments, **launch.constants, num_warps=launch.warps)


def available() -> Missing | None:
    """None where Triton can be imported; else why there are no kernels."""
    if importlib.util.find_spec("triton") is None:
        return Missing(
            reason="no Triton: kernels for CUDA need it (`pip install 'nasdsl[triton]'`)"
        )
    return None


def tiles(count: int, size: int = POSITIONS) -> int:
    """How many tiles hold so many."""
    return -(-count // size)


def wide(channels: int, most: int = 32) -> int:
    """Channels of a tile: a power of two, 16 at least."""
    size = 16
    while size < channels and size < most:
        size *= 2
    return size
