"""What runs regions on one kind of device: an emitter for all regions, an engine for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from nasdsl.fusion.generated.binding import Bound
from nasdsl.fusion.generated.region import Region
from nasdsl.kernels.memory import Memory
from nasdsl.kernels.toolchain import Missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """What a forward pass yields: maps that leave, moments of the batch, what backward reads."""

    outputs: tuple[Tensor, ...]
    statistics: Tensor
    kept: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The tensors of a call, as autograd hands them over."""

    inputs: tuple[Tensor, ...]
    scalars: tuple[Tensor, ...]
    parameters: tuple[Tensor, ...]

    @classmethod
    def of(cls, region: Region, tensors: Sequence[Tensor]) -> Given:
        """`(*inputs, *scalars, *parameters)` taken apart."""
        first = len(region.inputs)
        second = first + len(region.scalars)
        return cls(
            inputs=tuple(tensors[:first]),
            scalars=tuple(tensors[first:second]),
            parameters=tuple(tensors[second:]),
        )

    @property
    def all(self) -> tuple[Tensor, ...]:
        return (*self.inputs, *self.scalars, *self.parameters)


class Job(Protocol):
    """One call of a region: what its two directions share besides tensors."""

    @property
    def bound(self) -> Bound: ...

    def forward(self, given: Given, training: tuple[bool, ...]) -> Forwarded | None:
        """Computes the outputs and moves running statistics.

        None, and nothing done, where the reference has to run: with weights that are no finite
        numbers.
        """
        ...

    def again(
        self, given: Given, outputs: tuple[Tensor, ...], training: tuple[bool, ...]
    ) -> Forwarded:
        """The same for tensors that `forward` has seen; running statistics stay."""
        ...

    def backward(
        self,
        given: Given,
        buffers: tuple[Tensor, ...],
        forwarded: Forwarded,
        grads: Sequence[Tensor],
        asked: Sequence[bool],
        training: tuple[bool, ...],
    ) -> list[Tensor | None]:
        """Gradients of `given.all` where `asked`; without `buffers` all moments are the batch's."""
        ...


class Engine(Protocol):
    """Runs one region."""

    def job(self, bound: Bound, inputs: Sequence[Tensor]) -> Job | None:
        """A call for these tensors; None where it has to go through the reference graph."""
        ...


class Emitter(Protocol):
    """Makes engines for the tensors of one kind of device."""

    @property
    def device(self) -> str:
        """The type of the device, as torch names it."""
        ...

    def missing(self) -> Missing | None:
        """Why it can run nothing here; None where it can."""
        ...

    def engine(self, region: Region, memory: Memory) -> Engine: ...
