"""What a cell asks of a cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Cores, GPUs and memory (in GB of 2^30 bytes) of one cell; None is what the cluster gives."""

    cpus: int | None = None
    gpus: float | None = None
    memory: float | None = None
