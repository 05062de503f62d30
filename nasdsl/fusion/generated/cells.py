"""Regions as C++ programs on the CPU: one forward and one backward."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nasdsl.fusion.generated.binding import Bound
from nasdsl.fusion.generated.emitter import Forwarded, Given
from nasdsl.fusion.generated.region import Region
from nasdsl.fusion.generated.schedule import schedule
from nasdsl.fusion.generated.tables import Numbers, Strides, gradients, image, images, pointers
from nasdsl.fusion.generated.words import Program, program, slots
from nasdsl.kernels.library import CellCall, Library, library
from nasdsl.kernels.memory import Memory
from nasdsl.kernels.toolchain import Missing, toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The emitter of programs for `nasdsl/kernels/cell`."""

    device: str = "cpu"

    def missing(self) -> Missing | None:
        found = toolchain()
        return found if isinstance(found, Missing) else None

    def engine(self, region: Region, memory: Memory) -> CellEngine:
        return CellEngine(region, memory)


class CellEngine:
    """The programs of one region, by the extents of its inputs."""

    def __init__(self, region: Region, memory: Memory) -> None:
        self.region = region
        self.memory = memory
        self.slots = slots(region)
        self.strides = Strides()
        self.gradient_strides = Strides()
        self._plan = schedule(region)
        self._programs: dict[tuple[Any, ...], Program] = {}
        self._libraries: dict[torch.dtype, Library] = {}

    def job(self, bound: Bound, inputs: Sequence[Tensor]) -> CellJob | None:
        lib = self._library(inputs[0].dtype)
        made = None if lib is None else self._program(bound, lib, inputs)
        if lib is None or made is None:
            return None
        return CellJob(engine=self, lib=lib, program=made, bound=bound)

    def _library(self, dtype: torch.dtype) -> Library | None:
        if dtype not in self._libraries:
            found = library(dtype, self.region.depthwise)
            if isinstance(found, Missing):
                return None
            self._libraries[dtype] = found
        return self._libraries[dtype]

    def _program(self, bound: Bound, lib: Library, inputs: Sequence[Tensor]) -> Program | None:
        """The program for images of these extents; None where they do not fit the region."""
        sizes = tuple([(int(one.shape[2]), int(one.shape[3])) for one in inputs])
        eps = tuple([n.eps for n in bound.norms])
        key = (sizes, lib.lanes, eps)
        if key not in self._programs:
            try:
                made = program(self.region, self._plan, sizes, lib.lanes, eps)
            except ValueError:
                return None
            self._programs[key] = made
        made = self._programs[key]
        if made.least * inputs[0].shape[0] < 2 and any(bound.training):
            return None  # the reference says what is wrong with statistics of one value
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class CellJob:
    """One call: its programs and modules."""

    engine: CellEngine
    lib: Library
    program: Program
    bound: Bound

    def threads(self, n: int) -> int:
        """An image is worked on by one thread."""
        return min(torch.get_num_threads(), n) if self.lib.threads else 1

    def forward(self, given: Given, training: tuple[bool, ...]) -> Forwarded | None:
        n, dtype = int(given.inputs[0].shape[0]), given.inputs[0].dtype
        outputs = tuple(
            images(self.engine.memory, (n, one.channels, *self.program.extents[k]), dtype)
            for k, one in enumerate(self.engine.region.maps)
            if one.place == "output"
        )
        made = self._forward(_arranged(given, outputs), training, _factors(self.bound), n, outputs)
        if made is not None and any(training):
            torch.autograd.graph.increment_version(self.bound.buffers)
        return made

    def again(
        self, given: Given, outputs: tuple[Tensor, ...], training: tuple[bool, ...]
    ) -> Forwarded:
        n = int(given.inputs[0].shape[0])
        still = _still(len(training))
        made = self._forward(_arranged(given, outputs), training, still, n, outputs)
        assert made is not None  # the weights are those of the first pass
        return made

    def _forward(
        self,
        tensors: Sequence[Tensor],
        training: tuple[bool, ...],
        factors: Any,
        n: int,
        outputs: tuple[Tensor, ...],
    ) -> Forwarded | None:
        """Runs the forward program; None, and nothing done, where a weight or a coefficient is no
        finite number.
        """
        lib, made, take = self.lib, self.program, self.engine.memory.take
        dtype, threads = tensors[0].dtype, self.threads(n)
        work, _, moments = lib.sizes(made.forward, n, threads)
        kept = take(made.kept * n * lib.lanes, dtype)
        passing = take(made.passing * n * lib.lanes, dtype)
        scratch = take(work, dtype)
        statistics = take(moments, torch.float64)
        where = pointers((*tensors, *self.bound.buffers))
        strides = self.engine.strides.of(tensors)
        none = (ctypes.c_int64 * len(where))()
        modes = _modes(training)
        done = lib.forward(
            CellCall(
                words=ctypes.addressof(made.forward),
                n=n,
                tensors=ctypes.addressof(where),
                strides=ctypes.addressof(strides),
                grads=ctypes.addressof(none),
                gstrides=ctypes.addressof(strides),
                training=ctypes.addressof(modes),
                factor=ctypes.addressof(factors),
                moments=statistics.data_ptr(),
                saved=kept.data_ptr(),
                passing=passing.data_ptr(),
                gradient=0,
                work=scratch.data_ptr(),
                threads=threads,
            )
        )
        if not done:
            return None
        return Forwarded(outputs=outputs, statistics=statistics, kept=(kept,))

    def backward(
        self,
        given: Given,
        buffers: tuple[Tensor, ...],
        forwarded: Forwarded,
        grads: Sequence[Tensor],
        asked: Sequence[bool],
        training: tuple[bool, ...],
    ) -> list[Tensor | None]:
        count, n = len(given.inputs), int(given.inputs[0].shape[0])
        tensors = _arranged(given, forwarded.outputs)
        flat = (*tensors[:count], *given.scalars, *given.parameters)
        results = gradients(self.engine.memory, flat, asked, count)
        own = (*results[:count], *[image(g) for g in grads], *results[count:])
        self._backward((*tensors, *buffers), forwarded, own, training, n)
        return results

    def _backward(
        self,
        tensors: Sequence[Tensor],
        forwarded: Forwarded,
        results: Sequence[Tensor | None],
        training: tuple[bool, ...],
        n: int,
    ) -> None:
        """Runs the backward program, which adds to `results`."""
        lib, made, take = self.lib, self.program, self.engine.memory.take
        dtype, threads = tensors[0].dtype, self.threads(n)
        _, work, _ = lib.sizes(made.backward, n, threads)
        passing = take(made.passing_back * n * lib.lanes, dtype)
        gradient = take(made.gradient * n * lib.lanes, dtype)
        scratch = take(work, dtype)
        buffers = self.engine.slots.buffers
        # Nothing reads running statistics where all are those of the batch.
        where = pointers(tensors, buffers if all(training) else 0)
        to = pointers(results, buffers)
        strides = self.engine.strides.of(tensors)
        back = self.engine.gradient_strides.of(results)
        modes = _modes(training)
        factors = _still(len(training))
        lib.backward(
            CellCall(
                words=ctypes.addressof(made.backward),
                n=n,
                tensors=ctypes.addressof(where),
                strides=ctypes.addressof(strides),
                grads=ctypes.addressof(to),
                gstrides=ctypes.addressof(back),
                training=ctypes.addressof(modes),
                factor=ctypes.addressof(factors),
                moments=forwarded.statistics.data_ptr(),
                saved=forwarded.kept[0].data_ptr(),
                passing=passing.data_ptr(),
                gradient=gradient.data_ptr(),
                work=scratch.data_ptr(),
                threads=threads,
            )
        )


def _arranged(given: Given, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The tensors in the order of the tables."""
    arrived = [image(t) for t in given.inputs]
    return (*arrived, *outputs, *given.scalars, *given.parameters)


def _modes(training: tuple[bool, ...]) -> Numbers:
    return (ctypes.c_int64 * len(training))(*training)


def _factors(bound: Bound) -> ctypes.Array[ctypes.c_double]:
    """By how much each normalisation moves its running statistics."""
    found = [
        1.0 / (int(n.num_batches_tracked) + 1) if n.momentum is None else n.momentum
        for n in bound.norms
    ]
    return (ctypes.c_double * len(found))(*found)


def _still(count: int) -> ctypes.Array[ctypes.c_double]:
    """Factors that leave running statistics as they are."""
    return (ctypes.c_double * count)(*([-1.0] * count))
