"""Gradients of narrow convolutions that stride, which oneDNN writes beside their place.

A convolution of kernel 1 with a stride, channels last, and fewer input channels than a vector of AVX2
holds numbers: the kernel for the gradient of its weights writes past its workspace, so gradients are
wrong or the process dies (https://github.com/uxlfoundation/oneDNN/issues/6035, seen with torch 2.13).
Where one may be in a graph on such a processor, the backward pass runs without oneDNN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

#: float32 numbers of an AVX2 vector. Kernels for AVX-512 are others, and not known to be wrong.
LANES = 8


@contextmanager
def careful(loss: Tensor, parameters: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, the gradients of a loss in some parameters can be taken."""
    if not _afflicted(loss) or not any(map(_narrow, parameters.values())) or not _strides(loss):
        yield
        return
    # `flags` would set the precision of products, too, and warn of it.
    before, *_ = torch.backends.mkldnn.set_flags(False, None, None, None)
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(before, None, None, None)


def _afflicted(loss: Tensor) -> bool:
    if loss.device.type != "cpu" or loss.dtype is torch.float64:  # doubles are no matter of oneDNN
        return False
    return torch.backends.cpu.get_cpu_capability() != "AVX512"


def _narrow(weight: Tensor) -> bool:
    return weight.dim() == 4 and weight.shape[2:] == (1, 1) and weight.shape[1] < LANES


def _strides(loss: Tensor) -> bool:
    """Whether such a convolution may be in the graph of a loss."""
    seen: set[Any] = set()
    open_ = [loss.grad_fn]
    while open_:
        node = open_.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = node.name()
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return True  # what a function of Python does inside is not seen from here
        if name.startswith("ConvolutionBackward"):
            weight, stride = node._saved_weight, node._saved_stride  # type: ignore[attr-defined]
            if _narrow(weight) and max(stride) > 1:
                return True
        open_.extend(each for each, _ in node.next_functions)
    return False
