"""A cost model: every operator takes as long as its launch, its bytes or its work, the longest.

    t = sum over operators of max(launch, bytes / bandwidth, operations / rate)

The three numbers of a device are measured where it stands. Operands are taken to come from memory
every time, and work to run at the rate of a large matrix product, so single operators may come out
too slow or too fast: `tools/bench_step.py` prints predictions beside measurements.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Seconds per launch, bytes per second, floating-point operations per second."""

    launch: float
    bandwidth: float
    rate: float

    def predict(self, operators: Iterable[tuple[int, int]]) -> float:
        """Seconds that operators take, given as (bytes, operations)."""
        return sum(
            max(self.launch, moved / self.bandwidth, work / self.rate) for moved, work in operators
        )


def measured(device: torch.device) -> Machine:
    """The machine this runs on, from three short measurements."""
    small = torch.ones(16, device=device)
    launch = _best(lambda: small.add_(1), 2000, device)
    size = 1 << 23
    a, b = torch.ones(size, device=device), torch.empty(size, device=device)
    copy = _best(lambda: b.copy_(a), 4, device)
    n = 512 if device.type == "cpu" else 4096
    m = torch.ones(n, n, device=device)
    product = torch.empty(n, n, device=device)
    gemm = _best(lambda: torch.mm(m, m, out=product), 4, device)
    return Machine(launch=launch, bandwidth=2 * 4 * size / copy, rate=2 * n**3 / gemm)


def _best(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Seconds of one call: the best of five rounds."""
    times = []
    for _ in range(5):
        synchronize(device)
        began = now(device)
        for _ in range(repeats):
            call()
        synchronize(device)
        times.append((now(device) - began) / repeats)
    return min(times)


def now(device: torch.device) -> float:
    """Seconds: of this process on the CPU, where other work runs too, else of the wall."""
    return time.process_time() if device.type == "cpu" else time.perf_counter()


def synchronize(device: torch.device) -> None:
    """Wait for a device that works behind the host."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
