"""`lora = adapters(rank, on)`: low-rank updates of the convolutions of the options.

While adapters are on a convolution computes with W + B A (LoRA, arXiv 2106.09685, equation 3),
A `(rank, in x kernel)` and B `(out, rank)`: W rests, A and B are trained. A begins uniform in
+-1/sqrt(in x kernel), B at zero, so that nothing changes when they come. When they go W takes up
their product, so that nothing changes either. `on` is a schedule of `true` and `false` over the
block it is written in, read when an epoch begins; without it adapters are always on.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from nasdsl.codegen.supernet import Supernet
from nasdsl.ir.config import Component, value_at

_Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d


class Adapted(nn.Module):
    """A convolution whose weight is W + B A; W has the name it has without adapters."""

    #: The convolution that comes back when adapters go; not a child.
    held: Any

    def __init__(self, conv: _Conv, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        object.__setattr__(self, "held", conv)
        self.weight = conv.weight
        self.register_parameter("bias", conv._parameters["bias"])
        rows, columns = conv.weight.shape[0], conv.weight[0].numel()
        bound = 1 / math.sqrt(columns)
        drawn = (2 * torch.rand(rank, columns, generator=generator) - 1) * bound
        self.lora_a = nn.Parameter(drawn.to(conv.weight))
        self.lora_b = nn.Parameter(conv.weight.new_zeros(rows, rank))

    def change(self) -> Tensor:
        """B A in the shape of W."""
        return (self.lora_b @ self.lora_a).view(self.weight.shape)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.held._conv_forward(x, self.weight + self.change(), self.bias)
        return result


def wanted(component: Any, epoch: int, epochs: int) -> bool:
    """Whether adapters are on in an epoch (0-based) of so many."""
    if not isinstance(component, Component):
        return False
    on = component.get("on")
    return on is None or value_at(on, step=epoch, steps=epochs, steps_per_epoch=1) > 0.5


def adapt(supernet: Supernet, rank: int, generator: torch.Generator) -> None:
    """Put adapters on the convolutions of every option, in place."""
    for path, module in list(supernet.named_modules()):
        if isinstance(module, _Conv) and _in_option(supernet, path):
            _put(supernet, path, Adapted(module, rank, generator))


@torch.no_grad()
def merge(supernet: Supernet) -> None:
    """Take adapters off, in place; W takes up what they learned."""
    for path, module in list(supernet.named_modules()):
        if isinstance(module, Adapted):
            module.weight += module.change()
            _put(supernet, path, module.held)


def trained(supernet: Supernet) -> dict[str, nn.Parameter]:
    """The parameters that move: all but the weights that rest under adapters."""
    resting = {f"{path}.weight" for path, m in supernet.named_modules() if isinstance(m, Adapted)}
    return {n: p for n, p in supernet.named_parameters() if p.requires_grad and n not in resting}


def _in_option(supernet: Supernet, path: str) -> bool:
    while path:
        if path in supernet.options:
            return True
        path = path.rpartition(".")[0]
    return False


def _put(supernet: Supernet, path: str, module: nn.Module) -> None:
    owner, _, name = path.rpartition(".")
    supernet.get_submodule(owner).add_module(name, module)
    supernet.replan()
