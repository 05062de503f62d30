"""Samplers one behind the other: the mix of one is the logits of the next."""

from __future__ import annotations

from dataclasses import dataclass

from nasdsl.oneshot.samplers.sample import Sampler


@dataclass(frozen=True, slots=True)
class Compose:
    """`compose(a, b, …)`: the last one decides whether the mix is one-hot."""

    parts: tuple[Sampler, ...]

    @property
    def one_hot(self) -> bool:
        return self.parts[-1].one_hot

    def sample(self, alphas, tables, generator, schedule):  # type: ignore[no-untyped-def]
        for part in self.parts[:-1]:
            alphas = part.sample(alphas, tables, generator, schedule).mix
        return self.parts[-1].sample(alphas, tables, generator, schedule)

    def expected(self, alphas, tables):  # type: ignore[no-untyped-def]
        for part in self.parts:
            alphas = part.expected(alphas, tables)
        return alphas
