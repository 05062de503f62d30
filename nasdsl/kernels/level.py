"""What vector instructions kernels are built for: AVX-512, AVX2 or what every machine has."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A feature level of the processor: bytes of a vector and the flags that allow them."""

    name: str
    bytes: int
    flags: tuple[str, ...]
    #: Features as `/proc/cpuinfo` names them.
    needs: frozenset[str]


LEVELS: Mapping[str, Level] = MappingProxyType(
    {
        level.name: level
        for level in (
            Level(
                name="avx512",
                bytes=64,
                flags=("-march=x86-64-v4", "-mprefer-vector-width=512"),
                needs=frozenset(
                    "avx512f avx512bw avx512cd avx512dq avx512vl avx2 fma bmi2".split()
                ),
            ),
            Level(
                name="avx2",
                bytes=32,
                flags=("-march=x86-64-v3",),
                needs=frozenset("avx2 fma bmi1 bmi2 f16c movbe".split()),
            ),
            Level(name="portable", bytes=16, flags=(), needs=frozenset()),
        )
    }
)


def level() -> Level:
    """The best level this machine has; `NASDSL_CPU_LEVEL` names a lower one."""
    asked = os.environ.get("NASDSL_CPU_LEVEL", "")
    features = _features()
    able = [one for one in LEVELS.values() if one.needs <= features]
    for one in able:
        if one.name == asked:
            return one
    return able[0]


@functools.cache
def _features() -> frozenset[str]:
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return frozenset()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
