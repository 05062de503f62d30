"""Calls of a region: an autograd function over a forward and a backward program.

Everything a call works with belongs to it, so that calls may nest and overlap, a graph may be kept
and gone through twice. A backward pass that is to be differentiated itself goes through the
reference graph.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from nasdsl.fusion.generated.region import Region
from nasdsl.fusion.generated.schedule import Schedule, schedule
from nasdsl.fusion.generated.words import Program, program, slots
from nasdsl.kernels.library import CellCall, Library, library
from nasdsl.kernels.toolchain import Missing

#: Modules whose parameters a region reads; others, or hooks, say that somebody changed them.
_PLAIN = (nn.Conv2d, nn.BatchNorm2d)


class Generated:
    """A region as a function: `generated(owners, inputs, scalars)` yields its outputs.

    `owners` are the modules of the network that hold its weights, in the order of `region.owners`;
    `inputs` are maps `(n, c, h, w)`, `scalars` the tensors its mix stands in. With `recompute`
    nothing is kept between forward and backward. What no program can be run for (other devices
    or types, hooks on a module, autocast) goes through the reference graph.
    """

    __name__ = "generated"

    def __init__(self, region: Region, *, recompute: bool = False) -> None:
        self.region = region
        self.recompute = recompute
        self.plan: Schedule = schedule(region)
        self._programs: dict[tuple[Any, ...], Program] = {}
        self._nodes = tuple(region.reference.nodes)

    def __call__(
        self, owners: Sequence[nn.Module], inputs: Sequence[Tensor], scalars: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        modules = self.modules(owners)
        found = self.fitting(modules, inputs, scalars)
        if found is None:
            return self.reference(modules, inputs, scalars)
        lib, made = found
        parameters = [modules[path]._parameters[name] for path, name in self.region.parameters]
        job = _Job(generated=self, lib=lib, program=made, modules=modules)
        outputs: tuple[Tensor, ...] = _Call.apply(job, *inputs, *scalars, *parameters)
        return outputs

    def modules(self, owners: Sequence[nn.Module]) -> dict[str, nn.Module]:
        """Modules by path: those whose tensors it reads, and those of the reference graph."""
        roots = dict(zip(self.region.owners, owners, strict=True))
        found: dict[str, nn.Module] = {}
        for path in self.region.paths:
            first, _, rest = path.partition(".")
            module: Any = roots[first]
            for name in rest.split(".") if rest else ():
                module = module._modules[name]
            found[path] = module
        found.update({f"|{name}": module for name, module in roots.items()})
        return found

    def fitting(
        self,
        modules: Mapping[str, nn.Module],
        inputs: Sequence[Tensor],
        scalars: Sequence[Tensor],
    ) -> tuple[Library, Program] | None:
        """Kernels and program for these tensors; None where only the reference will do."""
        first = inputs[0]
        if torch.is_autocast_enabled("cpu") or torch.overrides.has_torch_function(tuple(inputs)):
            return None
        for one in (*inputs, *scalars):
            if one.dtype != first.dtype or one.device.type != "cpu" or one.layout != torch.strided:
                return None
        expected = [m.channels for m in self.region.maps if m.place == "input"]
        for one, channels in zip(inputs, expected, strict=True):
            if one.dim() != 4 or one.shape[1] != channels or one.shape[0] != first.shape[0]:
                return None
        eps = []
        for path in self.region.paths:
            module = modules[path]
            if type(module) not in _PLAIN or module._forward_hooks or module._forward_pre_hooks:
                return None
            if module._backward_hooks or module._backward_pre_hooks:
                return None
        for path, name in self.region.parameters:
            tensor = modules[path]._parameters.get(name)
            if tensor is None or tensor.dtype != first.dtype or tensor.device.type != "cpu":
                return None
        for norm in self.region.norms:
            bn: Any = modules[norm.path]
            if bn.running_mean is None or bn.running_mean.dtype != first.dtype:
                return None
            eps.append(float(bn.eps))
        lib = library(first.dtype, self.region.depthwise)
        if isinstance(lib, Missing) or not first.shape[0]:
            return None
        sizes = tuple((int(one.shape[2]), int(one.shape[3])) for one in inputs)
        key = (sizes, lib.lanes, tuple(eps))
        if key not in self._programs:
            try:
                made = program(self.region, self.plan, sizes, lib.lanes, eps)
            except ValueError:
                return None
            self._programs[key] = made
        made = self._programs[key]
        for norm in self.region.norms:
            height, width = made.extents[norm.map]
            if modules[norm.path].training and first.shape[0] * height * width < 2:
                return None  # the reference says what is wrong with that
        return lib, made

    def reference(
        self,
        modules: Mapping[str, nn.Module],
        inputs: Sequence[Tensor],
        scalars: Sequence[Tensor],
    ) -> tuple[Tensor, ...]:
        """The same through the modules, one by one."""
        arrived = iter((*inputs, *scalars))
        values: dict[fx.Node, Any] = {}

        def value(node: fx.Node) -> Any:
            return values[node]

        for node in self._nodes:
            if node.op == "placeholder":
                values[node] = next(arrived)
            elif node.op == "output":
                result: tuple[Tensor, ...] = fx.map_arg(node.args[0], value)
                return result
            elif node.op == "call_module":
                first, _, rest = str(node.target).partition(".")
                module = modules[f"|{first}"].get_submodule(rest)
                values[node] = module(*fx.map_arg(node.args, value))
            else:
                target: Any = node.target
                values[node] = target(*fx.map_arg(node.args, value))
        raise AssertionError("a graph without an output")


@dataclass(slots=True)
class _Job:
    """What the two directions of one call share besides tensors."""

    generated: Generated
    lib: Library
    program: Program
    modules: dict[str, nn.Module]
    training: ctypes.Array[ctypes.c_int64] = field(init=False)
    buffers: list[Tensor | None] = field(init=False)

    def __post_init__(self) -> None:
        region = self.generated.region
        norms = [self.modules[n.path] for n in region.norms]
        self.training = (ctypes.c_int64 * len(norms))(*(int(n.training) for n in norms))
        self.buffers = [self.modules[path]._buffers[name] for path, name in region.buffers]

    def factors(self) -> ctypes.Array[ctypes.c_double]:
        """By how much each normalisation moves its running statistics."""
        found = []
        for norm in self.generated.region.norms:
            module: Any = self.modules[norm.path]
            if module.momentum is None:
                found.append(1.0 / (int(module.num_batches_tracked) + 1))
            else:
                found.append(float(module.momentum))
        return (ctypes.c_double * len(found))(*found)

    def still(self) -> ctypes.Array[ctypes.c_double]:
        """Factors that leave running statistics as they are."""
        count = len(self.generated.region.norms)
        return (ctypes.c_double * count)(*([-1.0] * count))


def _image(tensor: Tensor) -> Tensor:
    """A tensor whose channels are neighbours in memory."""
    if tensor.shape[1] == 1 or tensor.stride(1) == 1:
        return tensor
    made = tensor.contiguous(memory_format=torch.channels_last)
    if made.stride(1) == 1:
        return made
    made = torch.empty_like(tensor, memory_format=torch.channels_last)
    return made.copy_(tensor)


class _Tables:
    """Pointers and strides of the tensors of a call, by slot; keeps the tensors alive."""

    __slots__ = ("pointers", "strides", "tensors")

    def __init__(self, tensors: Sequence[Tensor | None]) -> None:
        self.tensors = tensors
        self.pointers = (ctypes.c_int64 * len(tensors))(
            *(0 if t is None else t.data_ptr() for t in tensors)
        )
        strides: list[int] = []
        for t in tensors:
            if t is None:
                strides += (0, 0, 0, 0)
            else:
                own = t.stride()
                strides += own[:4]
                strides += (0,) * (4 - len(own))
        self.strides = (ctypes.c_int64 * len(strides))(*strides)


def _floats(count: int, like: Tensor) -> Tensor:
    return torch.empty(max(count, 1), dtype=like.dtype)


def _run(
    job: _Job,
    tensors: Sequence[Tensor | None],
    factors: ctypes.Array[ctypes.c_double],
    n: int,
    like: Tensor,
) -> tuple[Tensor, Tensor]:
    """The forward program: what is kept, and the moments of the batch."""
    lib, made = job.lib, job.program
    threads = torch.get_num_threads() if lib.threads else 1
    work, _, moments = lib.sizes(made.forward, n, threads)
    kept = _floats(made.kept * n * lib.lanes, like)
    passing = _floats(made.passing * n * lib.lanes, like)
    scratch = _floats(work, like)
    statistics = torch.empty(max(moments, 1), dtype=torch.float64)
    tables = _Tables(tensors)
    none = (ctypes.c_int64 * len(tensors))()
    lib.forward(
        CellCall(
            words=ctypes.addressof(made.forward),
            n=n,
            tensors=ctypes.addressof(tables.pointers),
            strides=ctypes.addressof(tables.strides),
            grads=ctypes.addressof(none),
            gstrides=ctypes.addressof(none),
            training=ctypes.addressof(job.training),
            factor=ctypes.addressof(factors),
            moments=statistics.data_ptr(),
            saved=kept.data_ptr(),
            passing=passing.data_ptr(),
            gradient=0,
            work=scratch.data_ptr(),
            threads=threads,
        )
    )
    return kept, statistics


class _Call(torch.autograd.Function):
    """`(job, *inputs, *scalars, *parameters) -> outputs`."""

    @staticmethod
    def forward(ctx: Any, job: _Job, *given: Tensor) -> tuple[Tensor, ...]:
        region, made = job.generated.region, job.program
        table = slots(region)
        n = int(given[0].shape[0])
        images = [_image(t) for t in given[: table.inputs]]
        outputs = []
        for k, one in enumerate(region.maps):
            if one.place == "output":
                outputs.append(
                    torch.empty(
                        (n, one.channels, *made.extents[k]),
                        dtype=given[0].dtype,
                        memory_format=torch.channels_last,
                    )
                )
        rest = given[table.inputs :]
        tensors = [*images, *outputs, *rest, *job.buffers]
        kept, statistics = _run(job, tensors, job.factors(), n, given[0])
        moved = [b for b in job.buffers if b is not None]
        if moved and any(job.training):
            torch.autograd.graph.increment_version(moved)
        ctx.job = job
        if job.generated.recompute:
            ctx.save_for_backward(*images, *rest, *outputs, statistics)
        else:
            ctx.save_for_backward(*images, *rest, *outputs, statistics, kept)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        job: _Job = ctx.job
        region, made, lib = job.generated.region, job.program, job.lib
        table = slots(region)
        saved = list(ctx.saved_tensors)
        given = saved[: table.inputs + table.scalars + table.parameters]
        if torch.is_grad_enabled():
            return (None, *_differentiable(job, given, ctx.needs_input_grad[1:], grads))
        outputs = saved[len(given) : len(given) + table.outputs]
        statistics = saved[len(given) + table.outputs]
        images, rest = given[: table.inputs], given[table.inputs :]
        n, like = int(images[0].shape[0]), images[0]
        tensors = [*images, *outputs, *rest, *job.buffers]
        if job.generated.recompute:
            kept, statistics = _run(job, tensors, job.still(), n, like)
        else:
            kept = saved[-1]
        asked = ctx.needs_input_grad[1:]
        results = _empty_gradients(given, asked, table.inputs)
        own: list[Tensor | None] = [
            *results[: table.inputs],
            *(_image(g) for g in grads),
            *results[table.inputs :],
            *([None] * table.buffers),
        ]
        threads = torch.get_num_threads() if lib.threads else 1
        _, work, _ = lib.sizes(made.backward, n, threads)
        passing = _floats(made.passing_back * n * lib.lanes, like)
        gradient = _floats(made.gradient * n * lib.lanes, like)
        scratch = _floats(work, like)
        tables, back = _Tables(tensors), _Tables(own)
        factors = job.still()
        lib.backward(
            CellCall(
                words=ctypes.addressof(made.backward),
                n=n,
                tensors=ctypes.addressof(tables.pointers),
                strides=ctypes.addressof(tables.strides),
                grads=ctypes.addressof(back.pointers),
                gstrides=ctypes.addressof(back.strides),
                training=ctypes.addressof(job.training),
                factor=ctypes.addressof(factors),
                moments=statistics.data_ptr(),
                saved=kept.data_ptr(),
                passing=passing.data_ptr(),
                gradient=gradient.data_ptr(),
                work=scratch.data_ptr(),
                threads=threads,
            )
        )
        return (None, *results)


def _empty_gradients(
    given: Sequence[Tensor], asked: Sequence[bool], inputs: int
) -> list[Tensor | None]:
    """Where gradients go: images are written, what else there is is added to zeros."""
    total = sum(t.numel() for t, yes in zip(given[inputs:], asked[inputs:], strict=True) if yes)
    flat = torch.zeros(total, dtype=given[0].dtype)
    at = 0
    found: list[Tensor | None] = []
    for k, (tensor, yes) in enumerate(zip(given, asked, strict=True)):
        if not yes:
            found.append(None)
        elif k < inputs:
            found.append(torch.empty_like(tensor, memory_format=torch.channels_last).zero_())
        else:
            # The layout of the tensor itself, so that an optimizer's step finds it as it expects.
            dense = tensor.is_contiguous() or tensor.is_contiguous(
                memory_format=torch.channels_last
            )
            strides = tensor.stride() if dense else _contiguous(tensor)
            found.append(flat.as_strided(tensor.shape, strides, at))
            at += tensor.numel()
    return found


def _contiguous(tensor: Tensor) -> tuple[int, ...]:
    strides = []
    step = 1
    for n in reversed(tensor.shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


class _Whole(nn.Module):
    """The modules of a region under one root, so that their tensors can be replaced by name."""

    def __init__(self, job: _Job) -> None:
        super().__init__()
        self.job = [job]
        for name in job.generated.region.owners:
            self.add_module(name, job.modules[f"|{name}"])

    def forward(self, inputs: Sequence[Tensor], scalars: Sequence[Tensor]) -> tuple[Tensor, ...]:
        job = self.job[0]
        return job.generated.reference(job.modules, inputs, scalars)


def _differentiable(
    job: _Job, given: Sequence[Tensor], asked: Sequence[bool], grads: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Gradients with a graph of their own, through the reference; statistics stay as they are."""
    region = job.generated.region
    table = slots(region)
    with torch.enable_grad():
        whole = _Whole(job)
        held = given[table.inputs + table.scalars :]
        replaced: dict[str, Tensor] = {
            f"{path}.{name}": tensor
            for (path, name), tensor in zip(region.parameters, held, strict=True)
        }
        for (path, name), buffer in zip(region.buffers, job.buffers, strict=True):
            if buffer is not None:
                replaced[f"{path}.{name}"] = buffer.clone()
        # The normalisations as they were when the call was made.
        training = [job.modules[n.path].training for n in region.norms]
        for norm, mode in zip(region.norms, job.training, strict=True):
            job.modules[norm.path].training = bool(mode)
        try:
            outputs = torch.func.functional_call(
                whole,
                replaced,
                (given[: table.inputs], given[table.inputs : table.inputs + table.scalars]),
            )
        finally:
            for norm, was in zip(region.norms, training, strict=True):
                job.modules[norm.path].training = was
        wanted = [t for t, yes in zip(given, asked, strict=True) if yes]
        found = iter(
            torch.autograd.grad(outputs, wanted, grads, create_graph=True, allow_unused=True)
        )
        return tuple(next(found) if yes else None for yes in asked)
