"""A region as a function that a graph calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from nasdsl.fusion.generated.binding import Binding, Bound
from nasdsl.fusion.generated.region import Region
from nasdsl.fusion.generated.schedule import schedule
from nasdsl.fusion.generated.tables import Strides
from nasdsl.fusion.generated.words import Program, program, slots
from nasdsl.kernels.library import Library, library
from nasdsl.kernels.memory import Memory
from nasdsl.kernels.toolchain import Missing


class Generated:
    """A region as a function: `generated(owners, inputs, scalars)` yields its outputs.

    `owners` are the modules of the network that hold its weights, in the order of `region.owners`;
    `inputs` are maps `(n, c, h, w)`, `scalars` the tensors its mix stands in. With `recompute`
    nothing is kept between forward and backward. With `rounded` what float32 programs keep is stored
    as bfloat16 and read back as float32: the values are the same, the gradients are not. What no program can be run for (other devices
    or types, hooks on a module, autocast) goes through the reference graph.
    """

    __name__ = "generated"

    def __init__(
        self,
        region: Region,
        memory: Memory,
        *,
        recompute: bool = False,
        rounded: Memory | None = None,
    ) -> None:
        self.region = region
        self.memory = memory
        self.recompute = recompute
        #: Where rounded values go: blocks twice their size, as others leave, must not hold them.
        self.rounded = rounded
        self.slots = slots(region)
        self.strides = Strides()
        self.gradient_strides = Strides()
        self._binding = Binding(region)
        self._plan = schedule(region)
        self._programs: dict[tuple[Any, ...], Program] = {}
        self._libraries: dict[torch.dtype, Library] = {}
        self._nodes = tuple(region.reference.nodes)
        self._channels = [m.channels for m in region.maps if m.place == "input"]

    def __call__(
        self, owners: Sequence[nn.Module], inputs: Sequence[Tensor], scalars: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        from nasdsl.fusion.generated.function import Call, Job

        first = inputs[0]
        bound = self._binding.bind(owners, first.dtype) if self._fit(inputs, scalars) else None
        lib = None if bound is None else self._library(first.dtype)
        made = None if bound is None or lib is None else self._program(bound, lib, inputs)
        if bound is None or lib is None or made is None:
            return self.reference(owners, inputs, scalars)
        job = Job(generated=self, lib=lib, program=made, bound=bound)
        outputs: tuple[Tensor, ...] = Call.apply(job, *inputs, *scalars, *bound.parameters)
        return outputs

    def _fit(self, inputs: Sequence[Tensor], scalars: Sequence[Tensor]) -> bool:
        """Whether programs can be run on these tensors."""
        first = inputs[0]
        # Subclasses stand for something else; modes that only look on do not matter.
        plain = all(type(one) in (Tensor, nn.Parameter) for one in inputs)
        if torch.is_autocast_enabled("cpu") or not plain:
            return False
        for one in (*inputs, *scalars):
            if one.dtype is not first.dtype or not one.is_cpu or one.layout is not torch.strided:
                return False
        n = first.shape[0] if first.dim() == 4 else 0
        return n > 0 and all(
            one.dim() == 4 and one.shape[1] == channels and one.shape[0] == n
            for one, channels in zip(inputs, self._channels, strict=True)
        )

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

    def reference(
        self, owners: Sequence[nn.Module], inputs: Sequence[Tensor], scalars: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """The same through the modules, one by one."""
        roots = dict(zip(self.region.owners, owners, strict=True))
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
                module = roots[first].get_submodule(rest)
                values[node] = module(*fx.map_arg(node.args, value))
            else:
                target: Any = node.target
                values[node] = target(*fx.map_arg(node.args, value))
        raise AssertionError("a graph without an output")
