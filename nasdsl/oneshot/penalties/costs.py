"""Penalties on the cost of the architectures that the alphas stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nasdsl.ir import cost
from nasdsl.ir.config import Component
from nasdsl.ir.expression import Expression
from nasdsl.ir.space import Space
from nasdsl.oneshot.expected_cost import ExpectedCost
from nasdsl.oneshot.penalties import latency
from nasdsl.oneshot.session import Session


def penalty(expected: Tensor, target: float | None) -> Tensor:
    """log max(E, 1) without a target; with one log max(E / target, 1), a hinge: no push below it.

    The logarithm makes the gradient a relative change: one weight serves spaces of any size.
    """
    if target is None:
        return expected.clamp(min=1).log()
    return (expected / target).clamp(min=1).log()


@dataclass(slots=True)
class CostPenalty:
    """`weight` times the penalty of an expected cost of the target network.

    The mean is over architectures drawn from the sampler's distribution without noise, exact
    where decisions are drawn by themselves (`ExpectedCost`). `prepare` raises CostError for a
    space or table that does not tell the cost.
    """

    weight: Any
    #: In the measure's unit, `unit` of which the expression counts; a number or a schedule.
    target: Any
    of: Callable[[Space], Expression]
    unit: int = 1
    expected: ExpectedCost | None = field(default=None)

    def prepare(self, session: Session) -> ExpectedCost:
        """Make the expression of the session's space."""
        made = ExpectedCost(self.of(session.space), session.supernet.tables)
        self.expected = made.to(session.device)
        return made

    def value(
        self, session: Session, alphas: Mapping[str, Tensor], mix: Mapping[str, Tensor]
    ) -> Tensor:
        expected = self.expected if self.expected is not None else self.prepare(session)
        found = expected(session.probabilities(alphas))
        target = None
        if self.target is not None:
            target = self.unit * session.now(self.target, "regularize")
        return session.now(self.weight, "regularize") * penalty(found, target)


def flops(component: Component) -> CostPenalty:
    """`flops(weight, target)`: multiply-adds of the target network for one sample."""
    return CostPenalty(
        component.get("weight"), component.get("target"), lambda s: cost.expression(s, "macs")
    )


def params(component: Component) -> CostPenalty:
    """`params(weight, target)`: parameters of the target network."""
    return CostPenalty(
        component.get("weight"), component.get("target"), lambda s: cost.expression(s, "params")
    )


def latencies(component: Component) -> CostPenalty:
    """`latency(weight, target, device)`: milliseconds of a table; `target` in milliseconds."""
    path = latency.where(str(component.get("device")), component)
    return CostPenalty(
        component.get("weight"),
        component.get("target"),
        lambda s: latency.expression(s, path),
        latency.UNIT,
    )
