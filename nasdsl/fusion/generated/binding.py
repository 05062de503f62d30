"""The modules and tensors of a network that a region reads, found anew at every call.

Nothing is held between calls: weights may be replaced, frozen, moved or swapped for one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasdsl.fusion.generated.region import Region
from nasdsl.ops.conv import Thinned

#: Modules whose parameters a region reads; others, or hooks, say that somebody changed them.
_PLAIN = (nn.Conv2d, Thinned, nn.BatchNorm2d)


@dataclass(frozen=True, slots=True)
class Bound:
    """What a region reads in one call."""

    owners: tuple[nn.Module, ...]
    parameters: list[Tensor]
    buffers: list[Tensor]
    norms: list[Any]

    @property
    def training(self) -> tuple[bool, ...]:
        """Which normalisations take the statistics of the batch."""
        return tuple([n.training for n in self.norms])


class Binding:
    """Where the modules of a region are in the tree of a network."""

    def __init__(self, region: Region) -> None:
        place: dict[str, int] = {name: k for k, name in enumerate(region.owners)}
        #: A module is child `name` of an earlier one.
        self._walk: list[tuple[int, str]] = []

        def find(path: str) -> int:
            if path not in place:
                parent, _, name = path.rpartition(".")
                self._walk.append((find(parent), name))
                place[path] = len(region.owners) + len(self._walk) - 1
            return place[path]

        self._read = [find(path) for path in region.paths]
        self._parameters = [(find(path), name) for path, name in region.parameters]
        self._buffers = [(find(path), name) for path, name in region.buffers]
        self._norms = [find(norm.path) for norm in region.norms]

    def bind(
        self, owners: Sequence[nn.Module], dtype: torch.dtype, device: torch.device
    ) -> Bound | None:
        """The modules as they are now; None where they are not what the region was made from."""
        found: list[Any] = list(owners)
        for parent, name in self._walk:
            found.append(found[parent]._modules.get(name))
            if found[-1] is None:
                return None
        for k in self._read:
            module = found[k]
            if type(module) not in _PLAIN or module._forward_hooks or module._forward_pre_hooks:
                return None
            if module._backward_hooks or module._backward_pre_hooks:
                return None
        parameters = [found[k]._parameters.get(name) for k, name in self._parameters]
        if not all(p is not None and p.device == device and p.dtype is dtype for p in parameters):
            return None
        buffers = [found[k]._buffers.get(name) for k, name in self._buffers]
        if not all(b is not None and b.device == device for b in buffers):
            return None
        if not all(b.dtype is dtype or b.dtype is torch.int64 for b in buffers):
            return None
        return Bound(tuple(owners), parameters, buffers, [found[k] for k in self._norms])
