"""Calls of a region: an autograd function over a forward and a backward program.

Everything a call works with belongs to it, so that calls may nest and overlap, a graph may be kept
and gone through twice. A backward pass that is to be differentiated itself goes through the
reference graph, and so does a call with weights or a mix that are no finite numbers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nasdsl.fusion.generated.binding import Bound
from nasdsl.fusion.generated.tables import Numbers, gradients, image, images, pointers
from nasdsl.fusion.generated.words import Program
from nasdsl.kernels.library import CellCall, Library

if TYPE_CHECKING:
    from nasdsl.fusion.generated.generated import Generated


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the two directions of one call share besides tensors."""

    generated: Generated
    lib: Library
    program: Program
    bound: Bound

    def threads(self, n: int) -> int:
        """An image is worked on by one thread."""
        return min(torch.get_num_threads(), n) if self.lib.threads else 1

    def forward(
        self, tensors: Sequence[Tensor], training: Numbers, factors: Any, n: int
    ) -> tuple[Tensor, Tensor] | None:
        """Runs the forward program: what is kept, and the moments of the batch.

        None, and nothing done, where a weight or an entry of a mix is no finite number.
        """
        lib, made, take = self.lib, self.program, self.generated.memory.take
        dtype, threads = tensors[0].dtype, self.threads(n)
        work, _, moments = lib.sizes(made.forward, n, threads)
        kept = take(made.kept * n * lib.lanes, dtype)
        passing = take(made.passing * n * lib.lanes, dtype)
        scratch = take(work, dtype)
        statistics = take(moments, torch.float64)
        where = pointers((*tensors, *self.bound.buffers))
        strides = self.generated.strides.of(tensors)
        none = (ctypes.c_int64 * len(where))()
        done = lib.forward(
            CellCall(
                words=ctypes.addressof(made.forward),
                n=n,
                tensors=ctypes.addressof(where),
                strides=ctypes.addressof(strides),
                grads=ctypes.addressof(none),
                gstrides=ctypes.addressof(strides),
                training=ctypes.addressof(training),
                factor=ctypes.addressof(factors),
                moments=statistics.data_ptr(),
                saved=kept.data_ptr(),
                passing=passing.data_ptr(),
                gradient=0,
                work=scratch.data_ptr(),
                threads=threads,
            )
        )
        return (kept, statistics) if done else None

    def backward(
        self,
        tensors: Sequence[Tensor],
        kept: Tensor,
        statistics: Tensor,
        results: Sequence[Tensor | None],
        training: tuple[bool, ...],
        n: int,
    ) -> None:
        """Runs the backward program, which adds to `results`."""
        lib, made, take = self.lib, self.program, self.generated.memory.take
        dtype, threads = tensors[0].dtype, self.threads(n)
        _, work, _ = lib.sizes(made.backward, n, threads)
        passing = take(made.passing_back * n * lib.lanes, dtype)
        gradient = take(made.gradient * n * lib.lanes, dtype)
        scratch = take(work, dtype)
        buffers = self.generated.slots.buffers
        # Nothing reads running statistics where all are those of the batch.
        where = pointers(tensors, buffers if all(training) else 0)
        to = pointers(results, buffers)
        strides = self.generated.strides.of(tensors)
        back = self.generated.gradient_strides.of(results)
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
                moments=statistics.data_ptr(),
                saved=kept.data_ptr(),
                passing=passing.data_ptr(),
                gradient=gradient.data_ptr(),
                work=scratch.data_ptr(),
                threads=threads,
            )
        )

    def stored(self, kept: Tensor) -> Tensor:
        """What is kept as it is stored until the backward pass, rounded to nearest even."""
        narrow = self.generated.rounded
        if narrow is None or kept.dtype is not torch.float32:
            return kept
        return narrow.take(kept.numel(), torch.bfloat16).copy_(kept)

    def restored(self, stored: Tensor, dtype: torch.dtype) -> Tensor:
        """What was stored as the backward program reads it."""
        if stored.dtype is dtype:
            return stored
        return self.generated.memory.take(stored.numel(), dtype).copy_(stored)


def _modes(training: tuple[bool, ...]) -> Numbers:
    return (ctypes.c_int64 * len(training))(*training)


def _still(count: int) -> ctypes.Array[ctypes.c_double]:
    """Factors that leave running statistics as they are."""
    return (ctypes.c_double * count)(*([-1.0] * count))


class Call(torch.autograd.Function):
    """`(job, *inputs, *scalars, *parameters) -> outputs`."""

    @staticmethod
    def forward(ctx: Any, job: Job, *given: Tensor) -> tuple[Tensor, ...]:
        region, made, table = job.generated.region, job.program, job.generated.slots
        n, dtype = int(given[0].shape[0]), given[0].dtype
        arrived = [image(t) for t in given[: table.inputs]]
        outputs = [
            images(job.generated.memory, (n, one.channels, *made.extents[k]), dtype)
            for k, one in enumerate(region.maps)
            if one.place == "output"
        ]
        rest = given[table.inputs :]
        ctx.job, ctx.training = job, job.bound.training
        found = job.forward(
            (*arrived, *outputs, *rest), _modes(ctx.training), job.bound.factors(), n
        )
        ctx.finite = found is not None
        if found is None:
            scalars = given[table.inputs : table.inputs + table.scalars]
            values = job.generated.reference(job.bound.owners, given[: table.inputs], scalars)
            for output, value in zip(outputs, values, strict=True):
                output.copy_(value)
        elif any(ctx.training):
            torch.autograd.graph.increment_version(job.bound.buffers)
        # Running statistics that were normalised with may not change until then.
        read = () if all(ctx.training) else job.bound.buffers
        last: tuple[Tensor, ...] = ()
        if found is not None and not job.generated.recompute:
            last = (found[1], job.stored(found[0]))
        # As they were given: a copy in another layout would end the graph of second derivatives.
        ctx.save_for_backward(*given, *outputs, *read, *last)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        job: Job = ctx.job
        table = job.generated.slots
        saved = ctx.saved_tensors
        count = table.inputs + table.scalars + table.parameters
        given, outputs = saved[:count], saved[count : count + table.outputs]
        asked = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or not ctx.finite:
            return (None, *_differentiable(job, ctx.training, given, asked, grads))
        n = int(given[0].shape[0])
        given = (*[image(t) for t in given[: table.inputs]], *given[table.inputs :])
        tensors = (*given[: table.inputs], *outputs, *given[table.inputs :])
        if job.generated.recompute:
            still = _still(len(ctx.training))
            again = job.forward(tensors, _modes(ctx.training), still, n)
            assert again is not None  # the weights are those of the first pass
            kept, statistics = again
        else:
            statistics, kept = saved[-2], job.restored(saved[-1], given[0].dtype)
        if not all(ctx.training):
            first = count + table.outputs
            tensors = (*tensors, *saved[first : first + table.buffers])
        results = gradients(job.generated.memory, given, asked, table.inputs)
        own = (*results[: table.inputs], *[image(g) for g in grads], *results[table.inputs :])
        job.backward(tensors, kept, statistics, own, ctx.training, n)
        return (None, *results)


class _Whole(nn.Module):
    """The modules of a region under one root, so that their tensors can be replaced by name."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = [job]
        for name, module in zip(job.generated.region.owners, job.bound.owners, strict=True):
            self.add_module(name, module)

    def forward(self, inputs: Sequence[Tensor], scalars: Sequence[Tensor]) -> tuple[Tensor, ...]:
        job = self.job[0]
        return job.generated.reference(job.bound.owners, inputs, scalars)


def _differentiable(
    job: Job,
    training: Sequence[bool],
    given: Sequence[Tensor],
    asked: Sequence[bool],
    grads: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """Gradients through the reference, with a graph of their own where one is asked for.

    Statistics stay as they are.
    """
    region, table = job.generated.region, job.generated.slots
    first = table.inputs + table.scalars
    # Aliases: one input may be computed from another, and only what reaches this region by each
    # of them is wanted, not what it owes to the others.
    with torch.enable_grad():
        given = [t.view_as(t) for t in given]
    replaced = {
        f"{path}.{name}": tensor
        for (path, name), tensor in zip(region.parameters, given[first:], strict=True)
    }
    for (path, name), buffer in zip(region.buffers, job.bound.buffers, strict=True):
        replaced[f"{path}.{name}"] = buffer.clone()
    # The normalisations as they were when the call was made.
    now = job.bound.training
    for norm, mode in zip(job.bound.norms, training, strict=True):
        norm.training = mode
    try:
        with torch.enable_grad():
            outputs = torch.func.functional_call(
                _Whole(job), replaced, (given[: table.inputs], given[table.inputs : first])
            )
    finally:
        for norm, mode in zip(job.bound.norms, now, strict=True):
            norm.training = mode
    wanted = [t for t, yes in zip(given, asked, strict=True) if yes]
    again = torch.is_grad_enabled()
    found = iter(torch.autograd.grad(outputs, wanted, grads, create_graph=again, allow_unused=True))
    return tuple([next(found) if yes else None for yes in asked])
