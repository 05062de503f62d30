"""Samplers: how the weights of the options come from the architecture parameters.

A sampler is a value; noise comes from a generator that is passed in, so a step can be repeated
and a run resumed exactly. Sampling never changes the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributions import Dirichlet as DirichletDistribution
from torch.nn import functional as F

from nasdsl.codegen.supernet import Table
from nasdsl.ir.config import Component

#: Smallest Dirichlet concentration: elu(x) + 1 is exactly 0 in float32 for x <= -17.
MIN_CONCENTRATION = 1e-6


@dataclass(frozen=True, slots=True)
class Sample:
    """A mix by table, and for one-hot samplers the picked option of every row."""

    mix: dict[str, Tensor]
    pick: dict[str, list[int]] | None = None


class Sampler(Protocol):
    """What the step asks of a sampler."""

    @property
    def one_hot(self) -> bool:
        """Whether only one option per decision runs."""
        ...

    def sample(
        self,
        alphas: Mapping[str, Tensor],
        tables: Mapping[str, Table],
        generator: torch.Generator,
        schedule: Callable[[Any], float],
    ) -> Sample:
        """The mix of one step; `schedule` gives the value of an argument at this step."""
        ...

    def expected(
        self, alphas: Mapping[str, Tensor], tables: Mapping[str, Table]
    ) -> dict[str, Tensor]:
        """The mix without noise: for evaluation, discretization and drawings."""
        ...


def by_width(alpha: Tensor, table: Table, f: Callable[[Tensor], Tensor]) -> Tensor:
    """`f` on the rows of every width; padding stays zero."""
    widths = table.widths
    if len(set(widths)) == 1:
        return f(alpha)
    result = torch.zeros_like(alpha)
    for width in sorted(set(widths)):
        rows = torch.tensor([i for i, w in enumerate(widths) if w == width], device=alpha.device)
        part = f(alpha[rows, :width])
        result = result.index_put(
            (rows[:, None], torch.arange(width, device=alpha.device)[None, :]), part
        )
    return result


def _each(
    alphas: Mapping[str, Tensor], tables: Mapping[str, Table], f: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    return {name: by_width(alpha, tables[name], f) for name, alpha in alphas.items()}


def _softmax(alpha_RK: Tensor) -> Tensor:
    return F.softmax(alpha_RK, dim=-1)


@dataclass(frozen=True, slots=True)
class Softmax:
    """mix = softmax(alpha) (DARTS, arXiv 1806.09055)."""

    one_hot: bool = False

    def sample(self, alphas, tables, generator, schedule):  # type: ignore[no-untyped-def]
        return Sample(self.expected(alphas, tables))

    def expected(self, alphas, tables):  # type: ignore[no-untyped-def]
        return _each(alphas, tables, _softmax)


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """mix = sigmoid(alpha), every option for itself (FairDARTS, arXiv 1911.12126)."""

    one_hot: bool = False

    def sample(self, alphas, tables, generator, schedule):  # type: ignore[no-untyped-def]
        return Sample(self.expected(alphas, tables))

    def expected(self, alphas, tables):  # type: ignore[no-untyped-def]
        return _each(alphas, tables, torch.sigmoid)


def gumbel_softmax(alpha_RK: Tensor, noise_RK: Tensor, tau: float, hard: bool) -> Tensor:
    """softmax((log softmax(alpha) + noise) / tau); `hard`: one-hot forward, soft backward.

    The one-hot value is exact: p - p.detach() is zero to the last bit. Raises ValueError for a
    temperature that is not positive.
    """
    if not tau > 0:
        raise ValueError(f"a temperature must be positive, not {tau}")
    p = F.softmax((F.log_softmax(alpha_RK, dim=-1) + noise_RK) / tau, dim=-1)
    if not hard:
        return p
    picked = F.one_hot(p.detach().argmax(dim=-1), p.shape[-1]).to(p.dtype)
    return picked + (p - p.detach())


def gumbel_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise, -log(-log(u)), drawn on the CPU from the generator."""
    u = torch.rand(like.shape, generator=generator, dtype=torch.float64)
    tiny = torch.finfo(torch.float64).tiny
    noise = -torch.log(-torch.log(u.clamp(min=tiny, max=1 - 1e-16)))
    return noise.to(like)


@dataclass(frozen=True, slots=True)
class Gumbel:
    """Concrete relaxation: soft as in SNAS (arXiv 1812.09926), hard as in GDAS (1910.04465)."""

    tau: Any
    hard: bool = False

    @property
    def one_hot(self) -> bool:
        return self.hard

    def sample(self, alphas, tables, generator, schedule):  # type: ignore[no-untyped-def]
        tau = schedule(self.tau)

        def draw(alpha: Tensor) -> Tensor:
            return gumbel_softmax(alpha, gumbel_noise(alpha, generator), tau, self.hard)

        mix = _each(alphas, tables, draw)
        return Sample(mix, picks(mix) if self.hard else None)

    def expected(self, alphas, tables):  # type: ignore[no-untyped-def]
        return _each(alphas, tables, _softmax)


def picks(mix: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """The picked option of every row: one transfer to the host for all tables.

    Raises ValueError where the weights are NaN: then nothing is picked.
    """
    rows = [m.detach().max(dim=-1) for m in mix.values()]
    index = torch.cat([r.indices for r in rows])
    value = torch.cat([r.values for r in rows])
    host = torch.where(value.isnan(), torch.full_like(index, -1), index).tolist()
    if -1 in host:
        raise ValueError("architecture parameters are NaN: the search has diverged")
    found, start = {}, 0
    for name, m in mix.items():
        found[name] = host[start : start + m.shape[0]]
        start += m.shape[0]
    return found


def concentration(alpha: Tensor) -> Tensor:
    """elu(alpha) + 1, kept above zero."""
    return (F.elu(alpha) + 1).clamp(min=MIN_CONCENTRATION)


@dataclass(frozen=True, slots=True)
class Dirichlet:
    """mix ~ Dirichlet(elu(alpha) + 1), reparameterised (DrNAS, arXiv 2006.10355)."""

    one_hot: bool = False

    def sample(self, alphas, tables, generator, schedule):  # type: ignore[no-untyped-def]
        # torch draws from the global generator only, so it is borrowed for the draw.
        seed = int(torch.randint(2**31, (), generator=generator))
        devices = [a.device for a in alphas.values() if a.is_cuda][:1]
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            mix = _each(
                alphas, tables, lambda alpha: DirichletDistribution(concentration(alpha)).rsample()
            )
        return Sample(mix)

    def expected(self, alphas, tables):  # type: ignore[no-untyped-def]
        def mean(alpha: Tensor) -> Tensor:
            c = concentration(alpha)
            return c / c.sum(dim=-1, keepdim=True)

        return _each(alphas, tables, mean)


SAMPLERS: Mapping[str, Callable[[Component], Sampler]] = MappingProxyType(
    {
        "softmax": lambda c: Softmax(),
        "sigmoid": lambda c: Sigmoid(),
        "gumbel": lambda c: Gumbel(c.get("tau"), bool(c.get("hard"))),
        "dirichlet": lambda c: Dirichlet(),
    }
)
