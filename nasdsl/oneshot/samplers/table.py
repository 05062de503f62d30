"""Sampler by name: one line per component of the slot `sampler`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nasdsl.ir.config import Component
from nasdsl.oneshot.samplers.compose import Compose
from nasdsl.oneshot.samplers.dirichlet import Dirichlet
from nasdsl.oneshot.samplers.gumbel import Gumbel
from nasdsl.oneshot.samplers.paths import FairPath, UniformPath
from nasdsl.oneshot.samplers.reinmax import ReinMax
from nasdsl.oneshot.samplers.sample import Sampler
from nasdsl.oneshot.samplers.sigmoid import Sigmoid
from nasdsl.oneshot.samplers.softmax import Softmax
from nasdsl.oneshot.samplers.two_path import TwoPath

SAMPLERS: Mapping[str, Callable[[Component], Sampler]] = MappingProxyType(
    {
        "softmax": lambda c: Softmax(),
        "sigmoid": lambda c: Sigmoid(),
        "gumbel": lambda c: Gumbel(c.get("tau"), bool(c.get("hard"))),
        "dirichlet": lambda c: Dirichlet(),
        "reinmax": lambda c: ReinMax(c.get("tau")),
        "compose": lambda c: Compose(tuple(sampler(part) for _, part in c.args)),
        "uniform_path": lambda c: UniformPath(),
        "fair_path": lambda c: FairPath(),
        "two_path": lambda c: TwoPath(),
    }
)


def sampler(component: Component) -> Sampler:
    """The sampler of a component."""
    if component.extension is not None:
        part: Sampler = component.extension.build(component)
        return part
    return SAMPLERS[component.name](component)
