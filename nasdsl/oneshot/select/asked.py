"""Selection by asking a trained supernet what architectures are worth."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from nasdsl.ir.config import Component
from nasdsl.ir.genotype import Genotype
from nasdsl.oneshot.blackbox.evolution import evolution
from nasdsl.oneshot.blackbox.local import local_search
from nasdsl.oneshot.blackbox.nsga2 import nsga2
from nasdsl.oneshot.blackbox.pool import Judged, Pool
from nasdsl.oneshot.blackbox.random_search import random_search
from nasdsl.oneshot.blackbox.regularized import regularized_evolution
from nasdsl.oneshot.select.score import Score, objective, scores
from nasdsl.oneshot.select.subnet import Subnets
from nasdsl.oneshot.session import Session


def rng_of(session: Session) -> random.Random:
    """Noise of a selection: from the state of the session's, which stays as it is.

    A selection asked for twice at one place of a search gives the same architecture.
    """
    generator = torch.Generator()
    generator.set_state(session.noise.get_state())
    return random.Random(int(torch.randint(2**62, (), generator=generator)))


def search(component: Component, pool: Pool, rng: random.Random) -> Judged:
    """Run the search that a component of the slot `select` describes. Raises NothingFound."""

    def number(name: str, default: int) -> int:
        value = component.get(name)
        return int(value) if value is not None else default

    match component.name:
        case "random":
            samples = int(component.get("samples"))
            distinct = bool(component.get("distinct"))
            return random_search(pool, rng, samples, distinct=distinct)
        case "regularized":
            pool.budget = int(component.get("samples"))
            population, sample = number("population", 100), number("parents", 25)
            return regularized_evolution(pool, rng, population=population, sample=sample)
        case "local":
            pool.budget = int(component.get("samples"))
            return local_search(pool, rng)
        case "evolution":
            population, rounds = int(component.get("population")), int(component.get("rounds"))
            rate = component.get("rate")
            share = float(rate) if rate is not None else 0.1
            if str(component.get("algorithm")) == "nsga2":
                return nsga2(pool, rng, population=population, rounds=rounds, rate=share)[0]
            half = max(1, population // 2)
            return evolution(
                pool,
                rng,
                population=population,
                rounds=rounds,
                parents=number("parents", max(1, population // 5)),
                crossover=number("crossover", half),
                mutation=number("mutation", population - half),
                rate=share,
            )
        case other:
            raise ValueError(f"`{other}` asks for no worth")


@dataclass(frozen=True, slots=True)
class Asked:
    """`evolution(…)`, `random(…)`, `regularized(…)`, `local(…)` over a trained supernet.

    Candidates meet what the space and the recipe require, no network is measured twice, and each
    runs with the weights of the supernet.
    """

    component: Component
    terms: tuple[Score, ...]
    calibrate: int | None

    @classmethod
    def of(cls, component: Component) -> Asked:
        """Raises ScoreError."""
        calibrate = component.get("calibrate")
        return cls(component, scores(component.get("score")), int(calibrate) if calibrate else None)

    def genotype(self, session: Session) -> Genotype:
        """The best architecture that was found. Raises NothingFound."""
        if session.held is None:
            raise ValueError("this search has no held-out images to measure on")
        limits = session.held.limits
        measured = Subnets(session, self.calibrate)
        pool = Pool(limits, objective(self.terms, limits, measured.measure))
        return search(self.component, pool, rng_of(session)).genotype
