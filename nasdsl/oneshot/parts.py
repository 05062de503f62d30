"""What the components of a recipe may do around a step, slot by slot.

A part is one component at work. It acts through the Session it is given and keeps its own state,
if it has any, behind `state` and `restore`, so that a resumed run goes on exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import Tensor

from nasdsl.ir.genotype import Genotype
from nasdsl.oneshot.samplers.sample import Sample, Sampler

if TYPE_CHECKING:
    from nasdsl.oneshot.session import Session

#: Which of the two moves a mix is made for.
ARCH, WEIGHTS = "arch", "weights"


class StepRule(Protocol):
    """Owns the whole update: both optimizers, both batches and the supernet (slot `step`)."""

    def run(self, session: Session) -> None: ...


class Transform(Protocol):
    """Changes every mix after the sampler (slot `mix`)."""

    def apply(self, session: Session, mix: dict[str, Tensor]) -> dict[str, Tensor]: ...


class Perturbation(Protocol):
    """Changes the mix of the weight step alone; gone after it (slot `perturb`)."""

    def apply(self, session: Session, x: Tensor, y: Tensor, sample: Sample) -> Sample: ...


class Penalty(Protocol):
    """A term of the architecture's loss (slot `regularize`)."""

    def value(
        self, session: Session, alphas: Mapping[str, Tensor], mix: Mapping[str, Tensor]
    ) -> Tensor: ...


class GradientRule(Protocol):
    """Looks at, or changes, the gradients of a step (slots `freeze` and `align`).

    Of several ranks each is given its part of the batch, `x` and `y`, and the gradients of all of it.
    """

    @property
    def wants_validation_gradients(self) -> bool:
        """Whether the weights' gradients of the validation loss are needed."""
        ...

    def on_arch(self, session: Session, validation: Mapping[str, Tensor | None]) -> None:
        """After the architecture moved; `validation` as asked for, else all None."""
        ...

    def on_weights(
        self,
        session: Session,
        x: Tensor,
        y: Tensor,
        sample: Sample,
        gradients: dict[str, Tensor | None],
    ) -> None:
        """Before the weights move; `gradients` may be changed in place."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule asks for after an epoch.

    `stop` ends the search; `alphas` and `supernet` put earlier values back; `keep` names the
    options that stay of decisions (the supernet is rebuilt without the others); `changes` are new
    values of arguments of the recipe, as `weights.decay`.
    """

    reason: str
    stop: bool = False
    alphas: Mapping[str, Tensor] | None = None
    supernet: Mapping[str, Tensor] | None = None
    keep: tuple[tuple[str, tuple[str, ...]], ...] = ()
    changes: tuple[tuple[str, float], ...] = ()


class StopRule(Protocol):
    """Watches the search from epoch to epoch (slot `stop`)."""

    def after_epoch(self, session: Session, epoch: int) -> Verdict | None: ...


class Selector(Protocol):
    """Names the architecture (slot `select`).

    A rule that decides while the supernet is trained may have more, which the search asks for:
    `after_epoch(session, epoch) -> Verdict | None`; `extra_epochs(session) -> int`, epochs behind
    the search; `apply(session, mix) -> mix`, what is decided in every mix; `so_far(session) ->
    Genotype`, for the log.
    """

    def genotype(self, session: Session) -> Genotype: ...


@runtime_checkable
class Stateful(Protocol):
    """A part that remembers something between steps."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values."""
        ...

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The components of a recipe, each in its slot. Their order in the file never matters."""

    sampler: Sampler
    step: StepRule
    select: Selector
    transforms: tuple[Transform, ...] = ()
    perturb: Perturbation | None = None
    penalties: tuple[Penalty, ...] = ()
    gradient_rules: tuple[GradientRule, ...] = ()
    stop: StopRule | None = None
    #: Every part by the slot it stands in, for state.
    named: Mapping[str, Any] = field(default_factory=dict)
