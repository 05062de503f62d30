"""What a run will do: names resolved to a space, recipe, data, split and training settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasdsl import driver
from nasdsl.diagnostics.model import CompileError
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.driver import Loaded, UnknownName
from nasdsl.ir import compatibility, schema
from nasdsl.ir.config import Component, Settings, Steps, components, show
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.limits import Limits
from nasdsl.ir.shape import Shape
from nasdsl.ir.space import Space
from nasdsl.lowering.blocks import Block
from nasdsl.lowering.program import Program
from nasdsl.lowering.scope import Closure, Context, parameter
from nasdsl.lowering.value.evaluation import value_of
from nasdsl.lowering.value.kinds import Given
from nasdsl.oneshot.phases import CARRIED, carried, phases_of
from nasdsl.oneshot.select.score import ScoreError, scores

KINDS = ("space", "recipe", "dataset", "split", "train")
#: What a run takes where the file says nothing.
DEFAULTS = {
    "recipe": "darts",
    "dataset": "fashion16",
    "split": "disjoint_halves",
    "train": "quick",
}


class PlanError(ValueError):
    """The pieces of a run do not fit together, or need something that does not run yet."""


@dataclass(frozen=True, slots=True)
class Item:
    """One named piece of a run and the file it comes from."""

    kind: str
    name: str
    loaded: Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that decides a run, except the images."""

    items: dict[str, Item]
    parameters: dict[str, str]
    changes: dict[str, str]
    seed: int
    recipe: Settings
    dataset: Settings
    split: Settings
    train: Settings
    data: Given
    #: Spaces lowered so far: values, so that whoever asks again gets the same one.
    spaces: dict[Any, Space] = field(init=False, default_factory=dict, compare=False, repr=False)

    def space(
        self, genotype: Genotype | None = None, network: Mapping[str, Any] | None = None
    ) -> Space:
        """The space on this run's data; with a genotype its target is resolved.

        `network` are parameters that a phase of the recipe sets, in place of the recipe's own.
        """
        own = dict(network or dict(self.recipe.network))
        key = genotype, tuple(own.items())
        if key not in self.spaces:
            item = self.items["space"]
            given: dict[str, Any] = dict(self.parameters)
            if "data" in _block(item).params:
                given["data"] = self.data
            for name, value in own.items():
                given.setdefault(name, value)
            self.spaces[key] = driver.space(item.loaded, item.name, given, genotype=genotype)
        return self.spaces[key]

    def limits(self) -> Limits:
        """What the space and the recipe require of architectures. Raises CompileError."""
        item = self.items["space"]
        given: dict[str, Any] = dict(self.parameters)
        if "data" in _block(item).params:
            given["data"] = self.data
        for name, value in self.recipe.network:
            given.setdefault(name, value)
        further = tuple(
            driver.requirement(item.loaded, text, item.name, given) for text in self.recipe.requires
        )
        return Limits(self.space(), driver.targets(item.loaded, item.name, given), further)


def _block(item: Item) -> Block:
    definition = item.loaded.program.find(item.kind, item.name)
    block = item.loaded.program.flat.block(definition) if definition else None
    if block is None:
        raise UnknownName(f"no {item.kind} `{item.name}`")
    return block


def find(kind: str, name: str | None, main: Loaded, extra: Sequence[Loaded] = ()) -> Item:
    """A piece by name: in the file (defined, else imported), then in the bundled library.

    Without a name: the first one the file defines, else the default. Raises UnknownName.
    """
    own = main.program.names(kind)
    if kind == "space":
        return Item(kind, driver.main_space(main, name), main)
    wanted = name or (own[-1] if own else DEFAULTS[kind])
    for loaded in (main, *extra):
        if loaded.program.find(kind, wanted) is not None:
            return Item(kind, wanted, loaded)
    file = driver.where_bundled(wanted, kind)
    if file is None and Path(wanted).is_file():
        loaded = driver.load(wanted, plugins=main.program.flat.plugins)
        names = loaded.program.names(kind)
        if names:
            return Item(kind, names[0], loaded)
    if file is None:
        known = [*own, *driver.index(kind)]
        advice = did_you_mean(wanted, known, limit=0)
        raise UnknownName(f"there is no {kind} `{wanted}`" + (f"; {advice}" if advice else ""))
    return Item(kind, wanted, driver.load(file, check=False))


def _dataset(name: str | None, main: Loaded, space: Item) -> Item:
    """The data set asked for, else the file's own, else the space's, else the default."""
    if name is None and not main.program.names("dataset"):
        own = own_dataset(space)
        if own is not None:
            return own
    return find("dataset", name, main)


def own_dataset(space: Item) -> Item | None:
    """The data set that a space names as the default of its parameter `data`."""
    block, program = _block(space), space.loaded.program
    if "data" not in block.params:
        return None
    ctx = Context(program.diags, program.flat, block, True, {})
    given = parameter(ctx, "data")
    found = value_of(ctx, given, None) if isinstance(given, Closure) else given
    if not isinstance(found, Block):
        return None
    own = Program(found.module, program.diags, program.flat, program.sources)
    return Item("dataset", found.name, Loaded(own, ()))


def make(
    main: Loaded,
    *,
    names: Mapping[str, str | None],
    parameters: Mapping[str, str],
    changes: Mapping[str, str],
    seed: int,
) -> Plan:
    """The plan of a run. `changes` are slots or parameters of the recipe, the training settings or
    the split: `epochs`, `batch`, `train.epochs`, `train.lr`, `split.seed`.

    Raises UnknownName, CompileError, PlanError.
    """
    items = {kind: find(kind, names.get(kind), main) for kind in KINDS if kind != "dataset"}
    parameters = dict(parameters)
    # `-P data=digits` is `--data digits`.
    chosen = names.get("dataset") or parameters.pop("data", None)
    items["dataset"] = _dataset(chosen, main, items["space"])
    return make_from_items(items, parameters=parameters, changes=changes, seed=seed)


def make_from_items(
    items: dict[str, Item],
    *,
    parameters: Mapping[str, str],
    changes: Mapping[str, str],
    seed: int,
) -> Plan:
    """The plan of pieces that are already found. Raises CompileError, PlanError."""
    dataset = _settings(items["dataset"])
    shape, classes = dataset.get("shape"), dataset.get("classes")
    if not isinstance(shape, Shape):
        raise PlanError(f"data set `{dataset.name}` has no `shape`")
    data = Given(dataset.name, shape, int(classes) if classes is not None else 0)
    data_block = _block(items["dataset"])
    network = _network(items["space"], parameters, data)
    changed = _changes(changes, items)
    recipe = _settings(items["recipe"], data=data_block, changes=changed["recipe"], network=network)
    train = _settings(items["train"], data=data_block, changes=changed["train"])
    if recipe.get("augment") is None and all(k != "augment" for k, _ in recipe.values):
        recipe = _with(recipe, "augment", dataset.get("augment"))
    if train.get("augment") is None and all(k != "augment" for k, _ in train.values):
        train = _with(train, "augment", dataset.get("augment"))
    plan = Plan(
        items=items,
        parameters=dict(parameters),
        changes=dict(changes),
        seed=seed,
        recipe=recipe,
        dataset=dataset,
        split=_settings(items["split"], changes=changed["split"]),
        train=train,
        data=data,
    )
    reasons = refused(recipe)
    if reasons:
        raise PlanError(
            f"recipe `{recipe.name}` is understood but this version does not run it: "
            + "; ".join(reasons)
        )
    return plan


def _with(settings: Settings, slot: str, value: Any) -> Settings:
    from dataclasses import replace

    return replace(settings, values=(*settings.values, (slot, value)))


def _network(item: Item, parameters: Mapping[str, str], data: Given) -> dict[str, Any]:
    """The parameters of the space, for recipes that read `network.P`."""
    block = _block(item)
    given: dict[str, Any] = {k: driver.value(v) for k, v in parameters.items()}
    if "data" in block.params:
        given["data"] = data
    made = driver.space(item.loaded, item.name, given)
    return {name: driver.value(text) for name, text in made.parameters}


#: Kinds of block that `--set` and a suite may change, by what is written before the slot.
_CHANGED = {"": "recipe", "train.": "train", "split.": "split"}


def _changes(changes: Mapping[str, str], items: Mapping[str, Item]) -> dict[str, dict[str, Any]]:
    """Changes by kind of block: slots that hold a whole number, and parameters of the block."""
    found: dict[str, dict[str, Any]] = {kind: {} for kind in _CHANGED.values()}
    for name, text in changes.items():
        prefix = next((p for p in ("train.", "split.") if name.startswith(p)), "")
        kind, slot = _CHANGED[prefix], name.removeprefix(prefix)
        numbers = [s for s, t in schema.BLOCKS[kind].items() if t == "int"]
        params = list(_block(items[kind]).params)
        value = driver.value(text)
        if slot in numbers:
            if isinstance(value, str | bool) or value.denominator != 1 or value < 1:
                raise PlanError(f"`--set {name}={text}`: a positive whole number is wanted")
        elif slot not in params:
            known = ", ".join(dict.fromkeys([*numbers, *params]))
            raise PlanError(f"`--set {name}`: only {known or 'nothing'} can be set here")
        elif isinstance(value, str):
            raise PlanError(f"`--set {name}={text}`: a number, true or false is wanted")
        found[kind][slot] = value
    return found


def _settings(item: Item, **options: Any) -> Settings:
    program = item.loaded.program
    before = len(program.diags)
    made = program.settings(item.kind, item.name, **options)
    found = program.diags.items[before:]
    if made is None or any(d.severity == "error" for d in found):
        raise CompileError(tuple(found or program.diags))
    return made


def refused(recipe: Settings) -> list[str]:
    """What of a recipe is checked but not run by this version."""
    found = components(recipe.get("step"))
    if found and found[0].name == "stand_alone":
        return list(dict.fromkeys(_stretch(recipe)))
    if not recipe.phases and recipe.get("epochs") is None:
        return list(dict.fromkeys(_stretch(recipe)))
    stretches = [phase.settings for phase in phases_of(recipe)]
    reasons = [reason for settings in stretches for reason in _stretch(settings)]
    if stretches and all(s.get("arch") is None for s in stretches):
        steps = [s.get("step") for s in stretches]
        if not all(isinstance(s, Component) and s.name == "weights_only" for s in steps):
            reasons.append("it has no `arch`")
    if isinstance(prune := stretches[0].get("prune"), Component):
        reasons.append(
            f"`prune = {show(prune)}` acts at the start of a phase, and the first has nothing to "
            f"go by (`steps({{10: {show(prune)}}})` says when)"
        )
    return list(dict.fromkeys(reasons))


#: Slots that any value is right for, or that are checked where the space is known.
_CHECKED = ("epochs", "batch", "augment", "drop_op", "aux_skip")


def _stretch(recipe: Settings) -> list[str]:
    """What of a phase is not run."""
    reasons: list[str] = []
    unknown = sorted(carried(recipe) - set(CARRIED))
    if unknown:
        reasons.append(f"`carry` knows {' and '.join(CARRIED)}, not `{unknown[0]}`")
    for slot, value in recipe.values:
        if value is None or slot in _CHECKED or slot == "carry":
            continue
        if slot == "drop_path":
            continue
        if slot == "aux":
            why = "; only the network that is retrained has an auxiliary head"
            reasons.append(f"`{slot} = {show(value)}`{why}")
            continue
        if slot == "prune" and isinstance(value, Steps):
            continue
        found = components(value)
        if not found:
            reasons.append(f"`{slot}`")
        for component in found:
            reasons.extend(_refused(slot, component))
    step = recipe.get("step")
    alone = isinstance(step, Component) and step.name == "stand_alone"
    needed = [] if alone else ["sampler", "weights", "epochs", "batch"]
    reasons.extend(f"it has no `{slot}`" for slot in needed if recipe.get(slot) is None)
    for phase, settings in compatibility.stretches(recipe):
        where = f"in phase `{phase}`, " if phase else ""
        reasons.extend(
            f"{where}`{c.slot}` and `{c.other}` do not go together: {c.reason}"
            for c in compatibility.conflicts(settings)
        )
    return reasons


def _refused(slot: str, value: Component) -> list[str]:
    if value.extension is not None:
        return []  # a plugin declares what it runs
    family = "weights" if slot == "arch" else slot
    spec = schema.SLOTS.get(family, {}).get(value.name)
    if spec is None or not spec.runs:
        return [f"`{slot} = {show(value)}`"]
    if slot == "select" and value.get("score") is not None:
        try:
            scores(value.get("score"))
        except ScoreError as error:
            return [str(error)]
    return []


__all__ = ["KINDS", "Item", "Plan", "PlanError", "find", "make", "make_from_items", "refused"]
