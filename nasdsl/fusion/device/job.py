"""One call of a region on CUDA, and the engine that makes calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nasdsl.fusion.device.layout import Layout, layout
from nasdsl.fusion.device.tables import Tables, tables
from nasdsl.fusion.device.wanted import Wanted, wanted
from nasdsl.fusion.generated.binding import Bound
from nasdsl.fusion.generated.emitter import Forwarded, Given
from nasdsl.fusion.generated.region import Region
from nasdsl.kernels.device.launch import Launcher, available, run
from nasdsl.kernels.memory import Memory
from nasdsl.kernels.toolchain import Missing

#: What kernels compute in.
REAL = (torch.float32, torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonKernels:
    """The emitter of launches for `nasdsl/kernels/device`.

    `device` is the type of the tensors; `cpu` is for Triton's interpreter. `launch` carries out
    what is launched.
    """

    device: str = "cuda"
    launch: Launcher = run

    def missing(self) -> Missing | None:
        return available()

    def engine(self, region: Region, memory: Memory) -> DeviceEngine:
        # torch keeps the memory of a device itself.
        del memory
        return DeviceEngine(region, self.launch)


class DeviceEngine:
    """The layouts of one region, by the extents of its inputs, and their tables."""

    def __init__(self, region: Region, launch: Launcher) -> None:
        self.region = region
        self.launch = launch
        self._layouts: dict[tuple[tuple[int, int], ...], Layout] = {}
        self._tables: dict[tuple[Any, ...], Tables] = {}
        self._wanted: dict[tuple[bool, ...], Wanted] = {}
        paths = [n.path for n in region.norms]
        self._fit = available() is None and len(set(paths)) == len(paths)

    def job(self, bound: Bound, inputs: Sequence[Tensor]) -> DeviceJob | None:
        # The mean of all batches so far: how many there were would have to be read back.
        still = any(n.momentum is None for n in bound.norms)
        if not self._fit or still or inputs[0].dtype not in REAL:
            return None
        sizes = tuple([(int(one.shape[2]), int(one.shape[3])) for one in inputs])
        if sizes not in self._layouts:
            try:
                self._layouts[sizes] = layout(self.region, sizes)
            except ValueError:
                return None
        made = self._layouts[sizes]
        least = min((made.positions(n.map) for n in self.region.norms), default=2)
        if least * inputs[0].shape[0] < 2 and any(bound.training):
            return None  # the reference says what is wrong with statistics of one value
        return DeviceJob(engine=self, layout=made, sizes=sizes, bound=bound)

    def wanted(self, asked: tuple[bool, ...]) -> Wanted:
        """What a backward pass has to work out."""
        if asked not in self._wanted:
            self._wanted[asked] = wanted(self.region, asked)
        return self._wanted[asked]

    def tables(self, job: DeviceJob, given: Given, training: tuple[bool, ...]) -> Tables:
        eps = tuple([n.eps for n in job.bound.norms])
        scalars = tuple([tuple(s.shape) for s in given.scalars])
        device = given.inputs[0].device
        key = (job.sizes, eps, training, scalars, device)
        if key not in self._tables:
            self._tables[key] = tables(job.layout, eps, training, scalars, device)
        return self._tables[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceJob:
    """One call: the layout for its images, and its modules."""

    engine: DeviceEngine
    layout: Layout
    sizes: tuple[tuple[int, int], ...]
    bound: Bound

    def forward(self, given: Given, training: tuple[bool, ...]) -> Forwarded:
        from nasdsl.fusion.device.run import forward

        return forward(self, given, training, None)

    def again(
        self, given: Given, outputs: tuple[Tensor, ...], training: tuple[bool, ...]
    ) -> Forwarded:
        from nasdsl.fusion.device.run import forward

        return forward(self, given, training, outputs)

    def backward(
        self,
        given: Given,
        buffers: tuple[Tensor, ...],
        forwarded: Forwarded,
        grads: Sequence[Tensor],
        asked: Sequence[bool],
        training: tuple[bool, ...],
    ) -> list[Tensor | None]:
        from nasdsl.fusion.device.run import backward

        del buffers  # statistics have what was normalised with
        return backward(self, given, forwarded, grads, asked, training)
