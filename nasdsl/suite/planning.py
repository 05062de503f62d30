"""From a declared suite to its cells: searches, choices, retrainings, each with a digest.

A digest is that of what decides a result: the space as lowered, recipe, data, split and training
settings as evaluated, the seed, and the digests of the cells before. Equal work in two suites has
one digest. Device, threads and versions are no part of it; the run folders keep them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nasdsl.driver import Loaded
from nasdsl.ir.config import Settings, show
from nasdsl.ir.printer import digest
from nasdsl.ir.space import Space
from nasdsl.suite.cell import Cell, digest_of
from nasdsl.suite.declaration import Declared, Entry
from nasdsl.suite.errors import SuiteError
from nasdsl.suite.estimate import Estimator
from nasdsl.training import plan as plans
from nasdsl.training.archive import used
from nasdsl.training.plan import Item, Plan

#: Of the meaning of digests; part of them.
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SuitePlan:
    """The cells of a suite in an order in which they can be done."""

    declared: Declared
    cells: tuple[Cell, ...]


def plan(loaded: Loaded, declared: Declared) -> SuitePlan:
    """All cells. Raises CompileError, PlanError, SuiteError."""
    return SuitePlan(declared=declared, cells=tuple(_Planner(loaded, declared).cells()))


def run_plan(loaded: Loaded, order: Mapping[str, Any]) -> Plan:
    """The plan of a run that a cell's order stands for. Raises CompileError, PlanError."""
    items = {
        kind: plans.find(kind, name, loaded) if kind != "space" else Item(kind, name, loaded)
        for kind, name in order["items"].items()
    }
    if "dataset" not in items:
        own = plans.own_dataset(items["space"])
        if own is None:
            name = items["space"].name
            raise SuiteError(
                f"the suite has no `datasets`, and space `{name}` no `data` of its own"
            )
        items["dataset"] = own
    return plans.make_from_items(
        items,
        parameters=order["parameters"],
        changes=order["changes"],
        seed=int(order["seed"]),
    )


class _Planner:
    def __init__(self, loaded: Loaded, declared: Declared) -> None:
        self.loaded, self.declared = loaded, declared
        self.estimator = Estimator()
        self.trains: dict[tuple[str, str], Settings] = {}
        #: Spaces on a data set, as plans keep them, and digests: recipes and splits share them.
        self.spaces: dict[tuple[str, str], dict[Any, Space]] = {}
        self.digests: dict[tuple[str, str, str], str] = {}

    def cells(self) -> Iterator[Cell]:
        d = self.declared
        seen: set[str] = set()
        for space in d.spaces:
            for dataset in d.datasets or (None,):
                for split in d.splits:
                    for recipe in d.recipes:
                        for cell in self._group(space, recipe, dataset, split):
                            if cell.digest not in seen:
                                seen.add(cell.digest)
                                yield cell

    def _group(
        self, space: Entry, recipe: Entry, dataset: Entry | None, split: Entry
    ) -> Iterator[Cell]:
        """The searches of all seeds of a combination, and what follows from them."""
        d = self.declared
        entries = {"space": space, "recipe": recipe, "split": split}
        if dataset is not None:
            entries["dataset"] = dataset
        made = self._plan(entries, d.retrain[0])
        names = {
            "optimizer": recipe.label,
            "benchmark": self._benchmark(space, dataset, split),
            "space": space.label,
            "dataset": made.dataset.name.rpartition(".")[2] if dataset is None else dataset.label,
            "split": split.label,
        }
        searches = list(self._searches(made, entries, names))
        yield from searches
        how, measure = d.choose
        if how == "all":
            for cell, seed in zip(searches, d.seeds, strict=True):
                yield from self._retrains(made, entries, names, cell, seed)
        elif measure.startswith("search."):
            pick = self._pick(names, tuple(searches))
            yield pick
            yield from self._retrains(made, entries, names, pick, d.seeds[0])
        else:
            by_seed = [
                list(self._retrains(made, entries, names, cell, seed))
                for cell, seed in zip(searches, d.seeds, strict=True)
            ]
            for row in by_seed:
                yield from row
            for column in zip(*by_seed, strict=True):
                yield self._pick({**names, "setting": column[0].names["setting"]}, column)

    def _benchmark(self, space: Entry, dataset: Entry | None, split: Entry) -> str:
        """The label of a combination: the space, and what else differs in the suite."""
        parts = [space.label]
        if dataset is not None and len(self.declared.datasets) > 1:
            parts.append(dataset.label)
        if len(self.declared.splits) > 1:
            parts.append(split.label)
        return " / ".join(parts)

    def _plan(self, entries: Mapping[str, Entry], train: Entry) -> Plan:
        made = run_plan(self.loaded, self._order(entries, train, 0))
        known = self.spaces.setdefault((entries["space"].label, made.dataset.name), {})
        made.spaces.update(known)
        made.space()
        known.update(made.spaces)
        return made

    def _digest(self, made: Plan, entries: Mapping[str, Entry]) -> str:
        own = "; ".join(f"{k} = {show(v)}" for k, v in made.recipe.network)
        key = entries["space"].label, made.dataset.name, own
        if key not in self.digests:
            self.digests[key] = digest(made.space())
        return self.digests[key]

    def _order(self, entries: Mapping[str, Entry], train: Entry, seed: int) -> dict[str, Any]:
        changes = dict(entries["recipe"].changes)
        changes.update({f"split.{k}": v for k, v in entries["split"].changes})
        changes.update({f"train.{k}": v for k, v in train.changes})
        return {
            "items": {**{k: e.name for k, e in entries.items()}, "train": train.name},
            "parameters": dict(entries["space"].changes),
            "changes": changes,
            "seed": seed,
            "disjoint": self.declared.disjoint,
        }

    def _searches(
        self, made: Plan, entries: Mapping[str, Entry], names: Mapping[str, str]
    ) -> Iterator[Cell]:
        space = self._digest(made, entries)
        what = {
            "schema": SCHEMA,
            "kind": "search",
            "space": space,
            "recipe": _text(made.recipe),
            "data": _text(made.dataset),
            "split": _text(made.split),
            # Settings of retraining decide a search that trains networks one by one.
            "train": _text(made.train) if _alone(made.recipe) else None,
            "plugins": used(made),
            "disjoint": self.declared.disjoint,
        }
        estimate = self.estimator.search(made, space)
        for seed in self.declared.seeds:
            yield Cell(
                digest=digest_of({**what, "seed": seed}),
                kind="search",
                names={**names, "seed": str(seed)},
                order=self._order(entries, self.declared.retrain[0], seed),
                estimate=estimate,
            )

    def _pick(self, names: Mapping[str, str], among: tuple[Cell, ...]) -> Cell:
        how, measure = self.declared.choose
        needs = tuple(c.digest for c in among)
        what = {"schema": SCHEMA, "kind": "pick", "choose": [how, measure], "among": list(needs)}
        return Cell(
            digest=digest_of(what),
            kind="pick",
            names=names,
            order={"choose": [how, measure]},
            needs=needs,
        )

    def _retrains(
        self,
        made: Plan,
        entries: Mapping[str, Entry],
        names: Mapping[str, str],
        before: Cell,
        seed: int,
    ) -> Iterator[Cell]:
        space = self._digest(made, entries)
        for train in self.declared.retrain:
            settings = self._train(entries, train, made)
            what = {
                "schema": SCHEMA,
                "kind": "retrain",
                "from": before.digest,
                "train": _text(settings),
                "seed": seed,
            }
            yield Cell(
                digest=digest_of(what),
                kind="retrain",
                names={**names, "setting": train.label, "seed": str(seed)},
                order=self._order(entries, train, seed),
                needs=(before.digest,),
                estimate=self.estimator.retrain(made, settings, space),
            )

    def _train(self, entries: Mapping[str, Entry], train: Entry, made: Plan) -> Settings:
        """Training settings on a data set; they know nothing of spaces."""
        key = made.dataset.name, train.label
        if key not in self.trains:
            first = train is self.declared.retrain[0]
            self.trains[key] = made.train if first else self._plan(entries, train).train
        return self.trains[key]


def _alone(recipe: Settings) -> bool:
    step = recipe.get("step")
    return getattr(step, "name", "") == "stand_alone"


def _text(settings: Settings) -> str:
    """Settings as evaluated, in order of their slots; no names."""
    lines = [f"{k} = {show(v)}" for k, v in sorted(settings.values) if v is not None]
    lines += [f"network.{k} = {show(v)}" for k, v in settings.network]
    lines += [f"require {r}" for r in settings.requires]
    lines += [f"phase {n} {{ {_text(p)} }}" for n, p in settings.phases]
    return "\n".join(lines)


def ready(cells: tuple[Cell, ...]) -> None:
    """Refuse a suite whose order of cells is broken. Raises SuiteError."""
    known: set[str] = set()
    for cell in cells:
        if not set(cell.needs) <= known:
            raise SuiteError(f"{cell.title} comes before what it needs")
        known.add(cell.digest)
