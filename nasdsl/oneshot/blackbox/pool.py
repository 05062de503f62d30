"""Architectures that were asked for, each once: what every black-box search shares."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field

from nasdsl.ir.canonical import Canonical
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.limits import Limits
from nasdsl.ir.sampling import NothingFound, sample, sample_within

#: What an architecture is worth, by every objective; higher is better, the first one leads.
Worth = tuple[float, ...]
Objective = Callable[[Genotype], Worth]

#: Draws in a row that give nothing new before a search takes the space to be exhausted.
PATIENCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An architecture and what it is worth."""

    genotype: Genotype
    worth: Worth


@dataclass(slots=True)
class Pool:
    """Evaluates architectures of a space, those that are the same (`Canonical`) once.

    `budget` bounds the evaluations. Requirements of `limits` hold for whatever is drawn here;
    what a search makes by itself it asks `legal` about.
    """

    limits: Limits
    objective: Objective
    budget: int | None = None
    judged: dict[str, Judged] = field(default_factory=dict)
    identity: Canonical = field(init=False)

    def __post_init__(self) -> None:
        self.identity = Canonical(self.limits.space)

    @property
    def spent(self) -> bool:
        """Whether nothing new may be evaluated any more."""
        return self.budget is not None and len(self.judged) >= self.budget

    def legal(self, genotype: Genotype) -> bool:
        """Whether everything that is required holds."""
        return self.limits.holds(genotype)

    def known(self, genotype: Genotype) -> bool:
        """Whether this architecture, or one that is the same, was evaluated."""
        return self.identity(genotype) in self.judged

    def judge(self, genotype: Genotype) -> Judged:
        """An architecture with its worth; a known one costs nothing. Raises BudgetSpent."""
        key = self.identity(genotype)
        if key not in self.judged:
            if self.spent:
                raise BudgetSpent
            self.judged[key] = Judged(genotype=genotype, worth=self.objective(genotype))
        return Judged(genotype=genotype, worth=self.judged[key].worth)

    def draw(self, rng: random.Random) -> Genotype:
        """A random architecture that meets every requirement. Raises NothingFound."""
        if self.limits.requirements:
            return sample_within(self.limits, rng)
        return sample(self.limits.space, rng)

    def fresh(self, rng: random.Random, seen: Container[str] = frozenset()) -> Iterator[Genotype]:
        """Random architectures that were not evaluated yet, until `PATIENCE` draws give none.

        `seen` are identities that are left out as well.
        """
        missed = 0
        while missed < PATIENCE:
            genotype = self.draw(rng)
            key = self.identity(genotype)
            if key in self.judged or key in seen:
                missed += 1
                continue
            missed = 0
            yield genotype

    def best(self) -> Judged:
        """The best so far by the first objective, ties by the next; the first of equal ones.

        Raises NothingFound where nothing was evaluated.
        """
        if not self.judged:
            raise NothingFound("no architecture was evaluated")
        return max(self.judged.values(), key=lambda j: j.worth)


class BudgetSpent(Exception):
    """A search asked for one evaluation too many; it ends with the best so far."""
