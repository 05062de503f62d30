"""Architectures trained one by one, and a search that is told how good they are.

The search is a function of its seed and of what it was told, so it is never kept: to find out what
to train next it is run again over the results so far. A run that was cut goes on exactly so.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

from torch import Tensor, nn

from nasdsl.fusion.profile import Profile
from nasdsl.ir import cost
from nasdsl.ir.config import Component, Settings
from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import Genotype, loads
from nasdsl.ir.limits import Limits
from nasdsl.ir.resolve import resolve
from nasdsl.ir.space import Network, Space
from nasdsl.oneshot.blackbox.halving import halving, rungs
from nasdsl.oneshot.blackbox.pool import Judged, Pool, Worth
from nasdsl.oneshot.precision import PLAIN, Numerics
from nasdsl.oneshot.ranks.world import ALONE, World
from nasdsl.oneshot.select.asked import search
from nasdsl.oneshot.select.score import objective, scores
from nasdsl.training.data.batches import derived_seed
from nasdsl.training.data.inputs import Inputs
from nasdsl.training.retrain import Retrain
from nasdsl.training.task import State

#: Slots of a recipe that stand in for those of the training settings.
_OWN = ("weights", "batch", "loss", "augment")


class StandAlone:
    """`step = stand_alone(epochs)` as a task of the loop.

    An epoch of the task is an epoch of one network: it trains on `search.train` with the training
    settings of the run, for so many epochs, and is measured on `search.valid`. Networks are the
    discrete ones that are retrained in the end; their weights are drawn from the run's seed and
    their place.
    """

    name = "search"
    setting = "batch"

    def __init__(
        self,
        space: Space,
        recipe: Settings,
        train: Settings,
        inputs: Inputs,
        *,
        seed: int,
        device: str,
        limits: Limits | None = None,
        world: World = ALONE,
        numerics: Numerics = PLAIN,
        profile: str | Profile = "reference",
    ) -> None:
        self.space, self.recipe, self.seed, self.device = space, recipe, seed, device
        self.world, self.numerics, self.profile = world, numerics, profile
        self.limits = limits or Limits(space, lambda g: resolve(space.target, g))
        parts = inputs.parts
        self.inputs = replace(
            inputs,
            parts=replace(
                parts, retrain_train=parts.search_train, retrain_valid=parts.search_valid
            ),
        )
        self.settings = _settings(train, recipe)
        self.select: Component = recipe.get("select")
        self.budget = int(recipe.get("step").get("epochs"))
        self.terms = scores(self.select.get("score"))
        #: Loss and accuracy by genotype and epochs, in the order of training.
        self.results: dict[tuple[Genotype, int], tuple[float, float]] = {}
        self.best: Judged | None = None
        self.current: tuple[Genotype, int, Retrain] | None = None
        #: Epochs done of the current network.
        self.done = 0
        self.epochs = self._most()
        self._next()

    def _most(self) -> int:
        """Epochs at most; fewer where the space is exhausted."""
        samples = int(self.select.get("samples") or 0)
        if self.select.name == "halving":
            found = rungs(samples, int(self.select.get("eta")), self._budgets())
            return sum(count * epochs for count, epochs in found)
        if self.select.name == "evolution":
            most = int(self.select.get("population")) * (int(self.select.get("rounds")) + 1)
            return most * self.budget
        return samples * self.budget

    def _budgets(self) -> list[int]:
        given = self.select.get("epochs")
        return [int(e) for e in (given if isinstance(given, tuple | list) else (given,))]

    @property
    def finished(self) -> bool:
        """Whether the search wants no further network."""
        return self.best is not None

    # ---- what comes next

    def _next(self) -> None:
        """Find out what to train next, or what is best. Raises NothingFound."""
        try:
            self.best = self._searched()
            self.current = None
        except _Wanted as wanted:
            self._begin(wanted.genotype, wanted.epochs)

    def _begin(self, genotype: Genotype, epochs: int) -> None:
        values = tuple(
            (s, Fraction(epochs) if s == "epochs" else v) for s, v in self.settings.values
        )
        task = Retrain(
            self._network(genotype),
            replace(self.settings, values=values),
            self.inputs,
            seed=derived_seed(self.seed, "stand_alone", len(self.results)),
            device=self.device,
            world=self.world,
            numerics=self.numerics,
            profile=self.profile,
        )
        self.current, self.done = (genotype, epochs, task), 0

    def _network(self, genotype: Genotype) -> Network:
        """What is trained of an architecture."""
        network = self.limits.network
        return network(genotype) if network is not None else resolve(self.space.target, genotype)

    def _searched(self) -> Judged:
        rng = random.Random(derived_seed(self.seed, "select"))

        def worth(genotype: Genotype, epochs: int) -> Worth:
            def measure(genotype: Genotype) -> tuple[float, float]:
                try:
                    return self.results[genotype, epochs]
                except KeyError:
                    raise _Wanted(genotype, epochs) from None

            return objective(self.terms, self.limits, measure)(genotype)

        pool = Pool(self.limits, lambda g: worth(g, self.budget))
        if self.select.name == "halving":
            return halving(
                pool,
                rng,
                samples=int(self.select.get("samples")),
                eta=int(self.select.get("eta")),
                budgets=self._budgets(),
                worth=worth,
            )
        return search(self.select, pool, rng)

    # ---- steps

    def begin(self, epoch: int) -> int:
        return self._task.begin(self.done)

    def step(self, epoch: int, number: int) -> None:
        self._task.step(self.done, number)

    @property
    def _task(self) -> Retrain:
        if self.current is None:
            raise ValueError("the search has ended")
        return self.current[2]

    def epoch_record(self, epoch: int) -> dict[str, Any]:
        if self.current is None:
            raise ValueError("the search has ended")
        genotype, epochs, task = self.current
        record = {
            "architecture": len(self.results) + 1,
            "genotype": forms.brief(genotype, self.space),
            "of": epochs,
            **task.epoch_record(self.done),
        }
        self.done += 1
        if self.done == epochs:
            loss, accuracy = task.measure("valid")
            self.results[genotype, epochs] = (loss, accuracy)
            record["measured"] = {"loss": loss, "accuracy": accuracy}
            self._next()
        return record

    def genotype(self) -> Genotype:
        """The best architecture. Raises ValueError before the end."""
        if self.best is None:
            raise ValueError("the search has not ended")
        return self.best.genotype

    def result(self) -> dict[str, Any]:
        """The best architecture, its worth, and every network that was trained."""
        genotype = self.genotype()
        tried = []
        for (g, epochs), (loss, accuracy) in self.results.items():
            costs = cost.of_network(self._network(g))
            tried.append(
                {
                    "text": forms.brief(g, self.space),
                    "epochs": epochs,
                    "loss": loss,
                    "accuracy": accuracy,
                    "params": costs.params,
                    "macs": costs.macs,
                }
            )
        last = [m for (g, _), m in self.results.items() if g == genotype][-1]
        return {
            "genotype": genotype.as_json(),
            "text": forms.brief(genotype, self.space),
            "mix": {},
            "valid_discrete": {"loss": last[0], "accuracy": last[1]},
            "tried": tried,
        }

    # ---- what the loop asks where something goes wrong

    @property
    def on_cpu(self) -> bool:
        return self._task.on_cpu

    @property
    def splits(self) -> bool:
        return True

    @property
    def batch(self) -> int:
        return self._task.batch

    def broken(self) -> bool:
        """Never: an architecture that cannot be trained is a bad one, and the search goes on."""
        return False

    def networks(self) -> dict[str, nn.Module]:
        return self._task.networks()

    def trial(self, batch: int) -> None:
        self._task.trial(batch)

    # ---- state

    def state(self) -> State:
        values: dict[str, Any] = {
            "done": self.done,
            "results": [
                [g.as_json(), epochs, loss, accuracy]
                for (g, epochs), (loss, accuracy) in self.results.items()
            ],
            "task": None,
        }
        tensors: dict[str, dict[str, Tensor]] = {}
        if self.current is not None:
            tensors, values["task"] = self.current[2].state()
        return tensors, values

    def restore(self, tensors: dict[str, dict[str, Tensor]], values: dict[str, Any]) -> None:
        self.results = {
            (loads(json.dumps(g)), int(epochs)): (float(loss), float(accuracy))
            for g, epochs, loss, accuracy in values["results"]
        }
        self._next()
        self.done = int(values["done"])
        if self.current is not None and values["task"] is not None:
            self.current[2].restore(tensors, values["task"])


class _Wanted(Exception):
    """The search wants to know the worth of a network that was not trained yet."""

    def __init__(self, genotype: Genotype, epochs: int) -> None:
        super().__init__()
        self.genotype, self.epochs = genotype, epochs


def _settings(train: Settings, recipe: Settings) -> Settings:
    """The training settings with what the recipe says in their place."""
    own = {s: recipe.get(s) for s in _OWN if recipe.get(s) is not None}
    values = {**dict(train.values), **own}
    values.setdefault("epochs", Fraction(1))
    return replace(train, values=tuple(values.items()))
