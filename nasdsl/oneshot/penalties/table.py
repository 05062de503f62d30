"""Penalty by name: one line per component of the slot `regularize`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nasdsl.ir.config import Component
from nasdsl.oneshot.parts import Penalty
from nasdsl.oneshot.penalties.alphas import AlphaPenalty, beta_decay, dirichlet_kl, squared_norm
from nasdsl.oneshot.penalties.costs import flops, latencies, params
from nasdsl.oneshot.penalties.mixes import Entropy, ZeroOne

PENALTIES: Mapping[str, Callable[[Component], Penalty]] = MappingProxyType(
    {
        "beta": lambda c: AlphaPenalty(c.get("weight"), beta_decay),
        "drnas_kl": lambda c: AlphaPenalty(c.get("weight"), dirichlet_kl),
        "drnas_l2": lambda c: AlphaPenalty(c.get("weight"), squared_norm),
        "zero_one": lambda c: ZeroOne(c.get("weight"), str(c.get("norm"))),
        "entropy": lambda c: Entropy(c.get("weight")),
        "flops": flops,
        "params": params,
        "latency": latencies,
    }
)
