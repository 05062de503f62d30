"""`entangle`: operations of a choice share the kernel of the largest.

`kernels`: where options of one choice have a convolution at the same place inside that differs in
its kernel alone, the smaller ones compute with the central part of the largest kernel (Once-for-
all, arXiv 1908.09791, section 3.3; weight entanglement, arXiv 2107.00651). Everything else of an
option, batch-norm and pointwise convolutions, stays its own, and each option runs by itself: mixed
into one convolution before a batch-norm, only the ratio of the weights would count.

`widths`: decided widths always are leading slices of one weight (see `nasdsl.codegen.slices`), so
there is nothing to be done but to see that the space has them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nasdsl.codegen.supernet import Supernet
from nasdsl.ir.op import Varied
from nasdsl.ir.rewrite import held
from nasdsl.ir.space import Space
from nasdsl.passes.edges import PassError

_Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d


class Cropped(nn.Module):
    """A convolution with the centre of a larger one's kernel; its bias, if any, is its own."""

    #: The convolution with the kernel, and the one this stands for; both live elsewhere.
    large: Any
    small: Any

    def __init__(self, small: nn.Module, large: nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, "large", large)
        object.__setattr__(self, "small", small)
        self.register_parameter("bias", small._parameters["bias"])

    def kernel(self) -> Tensor:
        """The part of the large kernel that is used."""
        piece: Tensor = self.large.weight
        for axis, (big, k) in enumerate(
            zip(self.large.kernel_size, self.small.kernel_size, strict=True)
        ):
            piece = piece.narrow(2 + axis, (big - k) // 2, k)
        return piece

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.small._conv_forward(x, self.kernel(), self.bias)
        return result


def share(supernet: Supernet, what: str) -> None:
    """Entangle a fresh supernet in place. Raises PassError where there is nothing to share."""
    if what == "widths":
        _need_widths(supernet)
        return
    made = 0
    for group in _groups(supernet):
        *smaller, (_, large) = sorted(group, key=lambda pair: pair[1].kernel_size)
        for path, small in smaller:
            if small.kernel_size != large.kernel_size:
                _put(supernet, path, Cropped(small, large))
                made += 1
    if not made:
        raise PassError(
            f"`entangle = kernels`: no choice of `{supernet.space.name}` has convolutions that "
            "differ in the size of their kernels alone"
        )


def check(space: Space, what: str) -> None:
    """Raise PassError where a space has nothing to share; nothing is trained for it."""
    with torch.device("meta"):
        share(Supernet(space, mode="one_path"), what)


@torch.no_grad()
def part(supernet: Supernet) -> None:
    """Give every convolution a kernel of its own again, with the values it has, in place."""
    for path, module in list(supernet.named_modules()):
        if isinstance(module, Cropped):
            module.small.weight.copy_(module.kernel())
            _put(supernet, path, module.small)


def kernels(supernet: Supernet) -> dict[str, Tensor]:
    """What the weights of the shared kernels would be, by name."""
    return {
        f"{path}.weight": module.kernel().detach()
        for path, module in supernet.named_modules()
        if isinstance(module, Cropped)
    }


def _groups(supernet: Supernet) -> list[list[tuple[str, _Conv]]]:
    """Convolutions at the same place of the options of a choice, equal but for their kernels."""
    found: dict[tuple[Any, ...], list[tuple[str, _Conv]]] = {}
    for path, module in supernet.named_modules():
        if not isinstance(module, _Conv) or not _centred(module):
            continue
        option = path
        while option and option not in supernet.options:
            option = option.rpartition(".")[0]
        if option:
            key = (
                option.rpartition(".")[0],
                path.removeprefix(option),
                type(module),
                module.in_channels,
                module.out_channels,
                module.stride,
                module.dilation,
                module.groups,
            )
            found.setdefault(key, []).append((path, module))
    return [group for group in found.values() if len({m.kernel_size for _, m in group}) > 1]


def _centred(conv: _Conv) -> bool:
    """Whether the middle of the kernel stands on the pixel it is for: then kernels nest."""
    return all(
        k % 2 == 1 and p == d * (k - 1) // 2
        for k, p, d in zip(conv.kernel_size, conv.padding, conv.dilation, strict=True)
    )


def _put(supernet: Supernet, path: str, module: nn.Module) -> None:
    owner, _, name = path.rpartition(".")
    supernet.get_submodule(owner).add_module(name, module)
    supernet.replan()


def _need_widths(supernet: Supernet) -> None:
    for op in held(supernet.space.supernet):
        if (
            isinstance(op, Varied)
            and len({(o.inp.channels, o.out.channels) for o in op.options}) > 1
        ):
            return
    raise PassError(f"`entangle = widths`: `{supernet.space.name}` decides no width")
