"""A region as a function that a graph calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from nasdsl.fusion.generated.binding import Binding
from nasdsl.fusion.generated.cells import Cells
from nasdsl.fusion.generated.emitter import Emitter, Job
from nasdsl.fusion.generated.function import Call
from nasdsl.fusion.generated.region import Region
from nasdsl.kernels.memory import Memory


class Generated:
    """A region as a function: `generated(owners, inputs, scalars)` yields its outputs.

    `owners` are the modules of the network that hold its weights, in the order of `region.owners`;
    `inputs` are maps `(n, c, h, w)`, `scalars` the tensors its mix stands in. The device of the
    inputs chooses among `emitters`. With `recompute` nothing is kept between forward and backward;
    with `rounded` what float32 programs keep is stored as bfloat16 and read back as float32: the
    values are the same, the gradients are not. What no emitter can run (other devices or types,
    hooks on a module, autocast) goes through the reference graph.
    """

    __name__ = "generated"

    def __init__(
        self,
        region: Region,
        memory: Memory,
        *,
        recompute: bool = False,
        rounded: Memory | None = None,
        emitters: Sequence[Emitter] = (Cells(),),
    ) -> None:
        self.region = region
        self.recompute = recompute
        self.memory = memory
        #: Where rounded values go: blocks twice their size, as others leave, must not hold them.
        self.rounded = rounded
        self._engines = {e.device: e.engine(region, memory) for e in emitters}
        self._binding = Binding(region)
        self._nodes = tuple(region.reference.nodes)
        self._channels = [m.channels for m in region.maps if m.place == "input"]

    def __call__(
        self, owners: Sequence[nn.Module], inputs: Sequence[Tensor], scalars: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        job = self._job(owners, inputs, scalars)
        if job is None:
            return self.reference(owners, inputs, scalars)
        parameters = job.bound.parameters
        outputs: tuple[Tensor, ...] = Call.apply(self, job, *inputs, *scalars, *parameters)
        return outputs

    def _job(
        self, owners: Sequence[nn.Module], inputs: Sequence[Tensor], scalars: Sequence[Tensor]
    ) -> Job | None:
        """A call of these tensors; None where it goes through the reference graph."""
        first = inputs[0]
        engine = self._engines.get(first.device.type)
        if engine is None or not self._fit(inputs, scalars):
            return None
        bound = self._binding.bind(owners, first.dtype, first.device)
        return None if bound is None else engine.job(bound, inputs)

    def _fit(self, inputs: Sequence[Tensor], scalars: Sequence[Tensor]) -> bool:
        """Whether kernels can be run on these tensors."""
        first = inputs[0]
        # Subclasses stand for something else; modes that only look on do not matter.
        plain = all(type(one) in (Tensor, nn.Parameter) for one in inputs)
        if torch.is_autocast_enabled(first.device.type) or not plain:
            return False
        for one in (*inputs, *scalars):
            if one.dtype is not first.dtype or one.device != first.device:
                return False
            if one.layout is not torch.strided:
                return False
        n = first.shape[0] if first.dim() == 4 else 0
        return n > 0 and all(
            one.dim() == 4 and one.shape[1] == channels and one.shape[0] == n
            for one, channels in zip(inputs, self._channels, strict=True)
        )

    def stored(self, kept: Tensor) -> Tensor:
        """What is kept as it is stored until the backward pass, rounded to nearest even."""
        if self.rounded is None or kept.dtype is not torch.float32:
            return kept
        if not kept.is_cpu:
            return kept.to(torch.bfloat16)
        return self.rounded.take(kept.numel(), torch.bfloat16).copy_(kept)

    def restored(self, stored: Tensor, dtype: torch.dtype) -> Tensor:
        """What was stored as the backward program reads it."""
        if self.rounded is None or stored.dtype is not torch.bfloat16:
            return stored
        if not stored.is_cpu:
            return stored.to(dtype)
        return self.memory.take(stored.numel(), dtype).copy_(stored)

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
