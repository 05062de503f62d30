"""What a step does, counted: operators, operand traffic, work, host syncs, bytes that are kept.

Rules: an operator counts unless it moves no data (views, allocations, bookkeeping). Traffic is the
size of all operands and results of operators, as if there were no cache. Kept bytes are those of
the storages that autograd holds for the backward pass, every storage once, parameters excluded.
Code that is called past torch (generated kernels) counts as the one operator it appears as.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

#: Operators that move no data: views, allocations, bookkeeping.
FREE = frozenset(
    "view _unsafe_view reshape expand slice select unbind split split_with_sizes chunk detach alias "
    "permute transpose t unsqueeze squeeze narrow as_strided empty empty_like empty_strided "
    "new_empty new_empty_strided zeros zeros_like new_zeros ones_like lift_fresh "
    "_local_scalar_dense is_same_size".split()
)
#: Operators for which the host waits for the device.
SYNC = frozenset("_local_scalar_dense nonzero masked_select is_nonzero equal unique_dim".split())


@dataclass(slots=True)
class Counts:
    """Sums over a stretch: kernels by name, bytes of operands, floating-point operations, syncs."""

    kernels: Counter[str] = field(default_factory=Counter)
    traffic: int = 0
    flops: int = 0
    syncs: int = 0
    #: (bytes, operations) of every operator, for the roofline.
    each: list[tuple[int, int]] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.kernels.values())


class Counting(TorchDispatchMode):
    """Counts operators while it is entered.

    `host`: tensors that stay on the host whatever the device, as the step numbers of optimizers;
    reading them waits for nothing.
    """

    def __init__(self, host: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.counts = Counts()
        self._host = {t.data_ptr() for t in host}
        self._functions = _Functions(self.counts)

    def __enter__(self) -> Counting:
        self._functions.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *args: Any) -> None:
        super().__exit__(*args)
        self._functions.__exit__(*args)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in SYNC and not (args and self._on_host(args[0])):
            self.counts.syncs += 1
        if name not in FREE:
            moved = sum(_size(t) for t in _tensors((args, kwargs or {}, result)))
            work = flops(name, args, result)
            self.counts.kernels[name] += 1
            self.counts.traffic += moved
            self.counts.flops += work
            self.counts.each.append((moved, work))
        return result

    def _on_host(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value.data_ptr() in self._host


class _Functions(TorchFunctionMode):
    """Counts what waits for the device without an operator."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (Tensor.tolist, Tensor.numpy):
            self.counts.syncs += 1
        return func(*args, **(kwargs or {}))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def flops(name: str, args: tuple[Any, ...], result: Any) -> int:
    """Floating-point operations of convolutions and matrix products, two per multiply-add."""
    match name:
        case "convolution" | "_convolution" | "mkldnn_convolution":
            weight = args[1]
            return 2 * int(result.numel()) * int(weight[0].numel())
        case "convolution_backward":
            grad, weight, mask = args[0], args[2], args[-1]
            return 2 * int(grad.numel()) * int(weight[0].numel()) * (bool(mask[0]) + bool(mask[1]))
        case "mm" | "bmm":
            return 2 * int(result.numel()) * int(args[0].shape[-1])
        case "addmm" | "addmm_" | "baddbmm" | "baddbmm_":
            return 2 * int(result.numel()) * int(args[1].shape[-1])
        case "dot":
            return 2 * int(args[0].numel())
        case _:
            return 0


def count(step: Callable[[], Any], host: Iterable[Tensor] = ()) -> Counts:
    """What one call does, its backward pass included where it runs one; `host` as in Counting."""
    with Counting(host) as counting:
        step()
    return counting.counts


def kept(forward: Callable[[], Any], parameters: Iterable[Tensor]) -> int:
    """Bytes that a forward pass keeps for the backward pass."""
    own = {p.untyped_storage().data_ptr() for p in parameters}
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        # An output that is saved would hold the graph that holds it, for ever.
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        result = forward()
    found = sum(seen.values())
    del result
    return found
