"""In which precision a forward pass computes: autocast, over parameters that stay as they are.

Operators that gain by it compute in bfloat16 or float16, sums and losses in float32 (mixed
precision, arXiv 1710.03740). Kernels of whole cells do not run under autocast, nor do the other
passes of a profile; the supernet then runs as it is emitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from nasdsl.ir.config import Component, Settings, components
from nasdsl.ir.schema import PRECISIONS

FLOAT32, BF16, FP16 = PRECISIONS
_TYPES: Mapping[str, torch.dtype] = MappingProxyType({BF16: torch.bfloat16, FP16: torch.float16})
#: Slots of a recipe whose components take gradients, or whole batches, by themselves.
_OWN_GRADIENTS = ("step", "perturb", "align", "freeze")


@dataclass(frozen=True, slots=True, kw_only=True)
class Numerics:
    """How a step is computed: in which precision, and in how many parts of its batch."""

    precision: str = FLOAT32
    accumulate: int = 1

    @property
    def casts(self) -> bool:
        return self.precision in _TYPES

    @property
    def scales(self) -> bool:
        """Whether gradients are so small that the loss has to be scaled."""
        return self.precision == FP16


PLAIN = Numerics()


def cast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Where a forward pass runs; the backward pass follows what it did."""
    kind = _TYPES.get(precision)
    return nullcontext() if kind is None else torch.autocast(device.type, dtype=kind)


def single(logits: Tensor) -> Tensor:
    """Logits as a loss takes them: float32 where they are of fewer bits."""
    return logits.float() if logits.dtype in _TYPES.values() else logits


def refused(recipe: Settings, numerics: Numerics) -> str | None:
    """Why the steps of a recipe cannot be computed so; None where they can."""
    for slot in _OWN_GRADIENTS:
        for component in components(recipe.get(slot)):
            reason = _refused(slot, component, numerics)
            if reason is not None:
                order = component.get("order") if component.name == "alternating" else None
                said = component.name if order is None else f"{component.name}(order = {order})"
                return f"`{slot} = {said}` {reason}"
    return None


def _refused(slot: str, component: Component, numerics: Numerics) -> str | None:
    plugged = component.extension is not None
    name = component.name
    order = str(component.get("order") or "first") if name == "alternating" else ""
    if numerics.accumulate > 1:
        if plugged:
            return "comes from a plugin, which is given whole batches"
        if order == "unrolled":
            return "keeps the graph of the whole training batch; `order = second` equals it"
    if numerics.precision == FLOAT32:
        return None
    if slot == "align" or (order == "second" and str(component.get("hessian")) == "finite"):
        return f"takes differences of gradients, which {numerics.precision} rounds away"
    if not numerics.scales:
        return None
    if plugged:
        return "comes from a plugin, whose gradients are not scaled"
    if order in ("second", "unrolled") or name == "implicit":
        return "multiplies gradients by gradients, which leaves the range of fp16; bf16 has it"
    if name == "tempered":
        return (
            "keeps a mean of gradients, which one that overflows in fp16 ends; bf16 has the range"
        )
    if slot == "freeze" or name == "adversarial":
        return "reads gradients that may overflow in fp16; bf16 has the range"
    return None
