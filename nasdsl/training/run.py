"""A run from its plan to its result, in a folder that is enough to repeat it."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from nasdsl.codegen.supernet import check_executable
from nasdsl.fusion.profile import COMPILED
from nasdsl.ir import cost
from nasdsl.ir.config import Component, Pipeline, Settings, show
from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import Genotype, loads
from nasdsl.ir.printer import digest
from nasdsl.ir.space import Space
from nasdsl.oneshot import edits, entangle
from nasdsl.oneshot.compose import compose
from nasdsl.oneshot.phases import phases_of
from nasdsl.oneshot.precision import FLOAT32, Numerics, refused
from nasdsl.oneshot.ranks import shards
from nasdsl.oneshot.ranks.world import ALONE, LOCAL, SYNCHRONISED, World
from nasdsl.oneshot.samplers.table import sampler as sampler_of
from nasdsl.passes.edges import PassError
from nasdsl.training import events, index_lists, record, sharded
from nasdsl.training import plan as plans
from nasdsl.training.agreement import same_data
from nasdsl.training.archive import archive, used
from nasdsl.training.captured import CudaCapture, unfit
from nasdsl.training.data import inputs
from nasdsl.training.data.arrays import DIMENSIONS
from nasdsl.training.environment import deterministic, environment, on, versions
from nasdsl.training.loop import Teller, Watcher, drive
from nasdsl.training.plan import Plan
from nasdsl.training.record import RunFolder
from nasdsl.training.retrain import Retrain
from nasdsl.training.search import Search
from nasdsl.training.stand_alone import StandAlone

#: The profile that changes nothing, so that autocast reaches every operator.
EMITTED = "reference"


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is made; device, threads and profile change results in the last digits alone.

    In another precision and in parts of batches a run is another run.
    """

    device: str = "cpu"
    #: How networks run, see `nasdsl.fusion.profile`.
    profile: str = "balanced"
    data_dir: Path | None = None
    retrain: bool = True
    wall_limit: float | None = None
    #: Whether the steps of the search are recorded as a CUDA graph, see `nasdsl.training.captured`.
    cuda_graph: bool = False
    #: The ranks that make the run together; the first of them writes it.
    world: World = ALONE
    #: Of every step; None is float32 in a search, and in training what its settings say.
    precision: str | None = None
    #: Parts of a batch, one after the other in memory.
    accumulate: int = 1
    #: Whether operators that may give another result the second time are refused.
    deterministic: bool = False

    @property
    def search(self) -> Numerics:
        """How the steps of a search are computed."""
        return Numerics(precision=self.precision or FLOAT32, accumulate=self.accumulate)

    def training(self, settings: Settings) -> Numerics:
        """How those of training one network are, with its settings."""
        own = settings.get("precision")
        precision = self.precision or (str(own) if own is not None else FLOAT32)
        return Numerics(precision=precision, accumulate=self.accumulate)

    def settled(self) -> Options:
        """The same under a profile that runs in this precision."""
        return replace(self, profile=EMITTED) if self.search.casts else self

    @property
    def runs_as(self) -> str:
        """The profile that supernets run under.

        Synchronised batch-norms ask the other ranks between operators, where kernels of other
        profiles normalise inside. Then it is `launch`, which normalises most in one message.
        """
        own = self.settled().profile
        joint = self.world.several and self.world.batch_norm == SYNCHRONISED
        return "launch" if joint and own != EMITTED else own


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave."""

    genotype: Genotype
    text: str
    search: dict[str, Any]
    retrain: dict[str, Any] | None


#: Multiply-adds of a batch below which a second thread costs more than it brings where
#: other work runs on the machine: operators are so short that waiting for each other dominates.
SMALL_BATCH = 10**9


def threads_for(plan: Plan, world: World = ALONE) -> int:
    """CPU threads a run takes by itself: one for small networks, else every core, which the ranks
    of a machine share.

    `OMP_NUM_THREADS` goes before. It is a function of the run alone, so equal runs stay equal.
    """
    if os.environ.get("OMP_NUM_THREADS", "").isdigit():
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    batch = plan.recipe.get("batch") or plan.train.get("batch")
    work = cost.of_network(plan.space().supernet).macs * int(batch)
    return 1 if work < SMALL_BATCH else max(1, (os.cpu_count() or 1) // world.local_size)


def order(plan: Plan, prepared: inputs.Inputs, options: Options) -> dict[str, Any]:
    """Everything that decides a run, as it is written down."""
    space = plan.space()
    return {
        "items": {k: {"name": i.name, "file": i.loaded.source.name} for k, i in plan.items.items()},
        "parameters": plan.parameters,
        "changes": plan.changes,
        "seed": plan.seed,
        "space_digest": digest(space),
        "architectures": str(space.size()),
        "recipe": {k: show(v) for k, v in plan.recipe.values},
        "train": {k: show(v) for k, v in plan.train.values},
        "split": {k: show(v) for k, v in plan.split.values},
        "fingerprints": prepared.parts.fingerprints(),
        "data": {
            "name": prepared.name,
            "shape": str(prepared.shape),
            "classes": prepared.classes,
        },
        "device": torch.device(options.device).type if options.world.several else options.device,
        "profile": options.settled().profile,
        **({"ranks": options.world.size} if options.world.several else {}),
        # Statistics of a rank's part of a batch: another run than one with those of the batch.
        **({"batch_norm": LOCAL} if options.world.batch_norm == LOCAL else {}),
        **({"sharded": True} if options.world.sharded else {}),
        **({"cuda_graph": True} if options.cuda_graph else {}),
        **({"precision": options.precision} if options.precision else {}),
        **({"accumulate": options.accumulate} if options.accumulate > 1 else {}),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "environment": environment(options.device, deterministic=options.deterministic),
        "plugins": used(plan),
    }


def begin(plan: Plan, prepared: inputs.Inputs, folder: Path, options: Options) -> RunFolder:
    """A new run folder with everything that decides the run. Raises RunError, DiskError."""
    made = order(plan, prepared, options)
    started = {"argv": sys.argv[1:], "started": record.now()}
    lists = index_lists.as_json(prepared.parts)
    return record.create(folder, made | started, archive(plan), lists)


def stand_alone(recipe: Settings) -> bool:
    """Whether a recipe trains architectures one by one."""
    step = recipe.get("step")
    return isinstance(step, Component) and step.name == "stand_alone"


def check_kind(space: Space) -> None:
    """Refuse a space that needs other data than samples with one class each. Raises PlanError."""
    network = space.supernet
    if network.inp.kind not in DIMENSIONS:
        raise plans.PlanError(
            f"space `{space.name}` takes {network.inp.kind}; this version loads "
            f"{', '.join(DIMENSIONS)}"
        )
    if len(network.out.dims) != 1:
        raise plans.PlanError(
            f"space `{space.name}` answers with {network.out} per sample; this version trains "
            "on one class per sample"
        )


def check_fit(plan: Plan, prepared: inputs.Inputs) -> None:
    """Refuse a space and a data set that do not fit, before anything is trained."""
    space = plan.space()
    check_kind(space)
    inp, out = space.supernet.inp, space.supernet.out
    if inp != prepared.shape or out.channels != prepared.classes:
        raise plans.PlanError(
            f"space `{space.name}` takes {inp} and tells {out.channels} classes apart; data set "
            f"`{prepared.name}` has {prepared.shape} and {prepared.classes} classes (a space with "
            "the parameter `data` follows its data set)"
        )
    if inp.kind != "image":
        for settings in (plan.recipe, plan.train, *(p for _, p in plan.recipe.phases)):
            if isinstance(augment := settings.get("augment"), Pipeline) and augment.parts:
                raise plans.PlanError(
                    f"`{settings.name}` augments images; data set `{prepared.name}` holds {inp.kind}"
                )
    if stand_alone(plan.recipe):
        return
    for phase in phases_of(plan.recipe):
        compose(phase.settings)  # the makers of plugins are asked before a folder is made
        network = phase.settings.network
        own = plan.space(network=dict(network)) if network != plan.recipe.network else space
        try:
            made = edits.edited(own, phase.settings, {})
            if (shared := phase.settings.get("entangle")) is not None:
                entangle.check(made, shared.name)
        except PassError as error:
            raise plans.PlanError(str(error)) from None
    sampler = plan.recipe.get("sampler")
    check_executable(space, one_hot=sampler_of(sampler).one_hot)
    searched = {c.decision for _, c in cost.choices(space.supernet)}
    needed = {c.decision for _, c in cost.choices(space.target)}
    if not needed <= searched:
        lacking = sorted(needed - searched)[0]
        raise plans.PlanError(
            f"the network that is retrained needs decision `{lacking}`, which the supernet of "
            f"`{space.name}` does not have (other parameters, or `target {{}}`)"
        )


def check_capture(plan: Plan, options: Options) -> None:
    """Refuse to record steps that the host has a say in. Raises PlanError."""
    if not options.cuda_graph:
        return
    if options.world.several:
        raise plans.PlanError("--cuda-graph: the steps of several ranks are not recorded")
    if stand_alone(plan.recipe):
        raise plans.PlanError("--cuda-graph: this recipe trains architectures one by one")
    for phase in phases_of(plan.recipe):
        reason = unfit(phase.settings, compose(phase.settings), options.device)
        if reason is not None:
            raise plans.PlanError(f"--cuda-graph: {reason}")


def check_ranks(plan: Plan, options: Options, *, searches: bool = True) -> None:
    """Refuse what several ranks do not run, in a search too if it `searches`. Raises PlanError."""
    if not options.world.several:
        return
    reason = sharded.refused(plan, options, searches) if options.world.sharded else None
    if reason is not None:
        raise plans.PlanError(f"--shard: {reason}")
    if options.profile == COMPILED.name:
        raise plans.PlanError(f"--profile {COMPILED.name}: compiled cells run in one process")
    if options.accumulate > 1:
        raise plans.PlanError(
            f"--accumulate {options.accumulate}: several ranks share out a batch already, and go "
            "through their part of it at once; take more ranks"
        )


def check_numerics(plan: Plan, options: Options) -> None:
    """Refuse a precision or parts of batches that steps cannot be computed in. Raises PlanError."""
    alone, parts = stand_alone(plan.recipe), options.accumulate
    stretches = [] if alone else [phase.settings for phase in phases_of(plan.recipe)]
    for settings in stretches:
        for option, numerics in (
            (f"--accumulate {parts}", Numerics(accumulate=parts)),
            (f"--precision {options.precision}", Numerics(precision=options.search.precision)),
        ):
            reason = refused(settings, numerics)
            if reason is not None:
                raise plans.PlanError(f"{option}: {reason}")
    for settings in (*stretches, *([plan.train] if alone or options.retrain else [])):
        check_parts(settings, options)


def check_parts(settings: Settings, options: Options) -> None:
    """Refuse parts of less than two images, which batch normalisation needs. Raises PlanError."""
    batch, parts = settings.get("batch"), options.accumulate
    if parts > 1 and batch is not None and int(batch) < 2 * parts:
        raise plans.PlanError(
            f"--accumulate {parts}: of `{settings.name}` a batch has {batch} images, and batch "
            "normalisation needs two in every part"
        )


def execute(
    plan: Plan,
    prepared: inputs.Inputs,
    folder: RunFolder | None,
    options: Options,
    watch: Watcher | None = None,
    tell: Teller | None = None,
) -> Outcome:
    """Search, select, retrain. Goes on where an earlier attempt stopped.

    Results that were damaged since are made again from the last checkpoint; `tell` is told. Raises
    Stopped, and what `drive` raises. All ranks of a world execute together, with the same folder.
    """
    check_fit(plan, prepared)
    check_capture(plan, options)
    check_ranks(plan, options)
    check_numerics(plan, options)
    same_data(prepared, options.world)
    with deterministic(options.deterministic), on(options.device):
        return _executed(plan, prepared, folder, options, watch, tell)


def _executed(
    plan: Plan,
    prepared: inputs.Inputs,
    folder: RunFolder | None,
    options: Options,
    watch: Watcher | None,
    tell: Teller | None,
) -> Outcome:
    world = options.world
    found = _done(folder, "result.json", _outputs(plan.recipe), world)
    if found is None:
        found = _searched(plan, prepared, folder, options, watch, tell)
    genotype = loads(json.dumps(found["genotype"]))
    outcome = None
    if options.retrain:
        # The supernet, which points at itself, and its memory go before the next network comes.
        gc.collect()
        outcome = retrain(plan, prepared, genotype, folder, options, watch, tell)
    if folder is not None and world.writes:
        folder.update(status="done", ended=record.now())
    return Outcome(genotype, found["text"], found, outcome)


def _searched(
    plan: Plan,
    prepared: inputs.Inputs,
    folder: RunFolder | None,
    options: Options,
    watch: Watcher | None,
    tell: Teller | None,
) -> dict[str, Any]:
    """Search to the end; what was found, written into the folder of the run."""
    world = options.world
    began = time.perf_counter()
    # Every rank finds the same mistakes; one of them says so.
    with world.together():
        search = searching(plan, prepared, options)
    seen = watch
    measured = events.wanted(plan.recipe) and events.available()
    if folder is not None and world.writes and measured:
        seen = events.events(folder.path / "events", watch)
    drive(
        search,
        folder=folder.path if folder else None,
        watch=seen,
        wall_limit=options.wall_limit,
        tell=tell,
        world=world,
    )
    found = search.result()
    found["genotype"]["digest"] = digest(plan.space())
    found["seconds"] = round(time.perf_counter() - began, 3)
    weights = _weights(search)
    if folder is not None and world.writes:
        _write_result(folder, found, weights)
    return found


def searching(plan: Plan, prepared: inputs.Inputs, options: Options) -> Search | StandAlone:
    """The search of a plan at its beginning."""
    space = plan.space()
    if stand_alone(plan.recipe):
        return StandAlone(
            space,
            plan.recipe,
            plan.train,
            prepared,
            seed=plan.seed,
            device=options.device,
            limits=plan.limits(),
            world=options.world,
            numerics=options.training(plan.train),
            profile=options.profile,
        )
    return Search(
        space,
        plan.recipe,
        prepared,
        seed=plan.seed,
        device=options.device,
        space_of=lambda network: plan.space(network=network),
        limits=plan.limits(),
        profile=options.runs_as,
        capture=CudaCapture(torch.device(options.device)) if options.cuda_graph else None,
        world=options.world,
        numerics=options.search,
    )


def searched(plan: Plan, found: Mapping[str, Any]) -> Space:
    """The space of the supernet that a search ended with, from its result. Raises PassError."""
    structure = found.get("structure", {"phase": 0, "kept": {}})
    phase = phases_of(plan.recipe)[structure["phase"]]
    space = plan.space(network=dict(phase.settings.network))
    return edits.edited(space, phase.settings, structure["kept"])


def _done(
    folder: RunFolder | None, name: str, outputs: tuple[str, ...], world: World
) -> dict[str, Any] | None:
    """What a part of the run ended with, if it did and all it left is whole."""
    if folder is None:
        return None

    def read() -> bytes:
        whole = folder.has(name) and folder.sound(*outputs)
        return json.dumps(folder.read(name) if whole else None).encode()

    found: dict[str, Any] | None = json.loads(world.told(read))
    return found


def _outputs(recipe: Settings) -> tuple[str, ...]:
    """The files that a finished search leaves."""
    texts = ("genotype.json", "genotype.txt", "result.json")
    tensors = ("supernet.safetensors", "alphas.safetensors")
    return texts if stand_alone(recipe) else (*texts, *tensors)


def _packed(tensors: Mapping[str, torch.Tensor]) -> bytes:
    return save({n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()})


def _weights(search: Search | StandAlone) -> dict[str, Mapping[str, torch.Tensor]]:
    """What a search leaves besides its result, by file: whole, so that every rank has to ask."""
    if not isinstance(search, Search):
        return {}
    supernet = shards.wholes(edits.plain(search.session.supernet).state_dict())
    return {
        "supernet.safetensors": supernet,
        "alphas.safetensors": search.session.arch.alphas(),
    }


def _write_result(
    folder: RunFolder, found: dict[str, Any], weights: Mapping[str, Mapping[str, torch.Tensor]]
) -> None:
    # The genotype first: whatever fails after it, the search is not lost. The result last: a
    # folder that has it has everything.
    folder.write("genotype.json", found["genotype"])
    folder.write_text("genotype.txt", found["text"] + "\n")
    for name, tensors in weights.items():
        folder.write_bytes(name, _packed(tensors))
    folder.write("result.json", found)


def retrain(
    plan: Plan,
    prepared: inputs.Inputs,
    genotype: Genotype,
    folder: RunFolder | None,
    options: Options,
    watch: Watcher | None = None,
    tell: Teller | None = None,
) -> dict[str, Any]:
    """Train the target network of a genotype and measure it on the test images."""
    began = time.perf_counter()
    world = options.world
    outputs = ("retrain/network.safetensors", "retrain/result.json")
    before = _done(folder, "retrain/result.json", outputs, world)
    if before is not None:
        return before
    space = plan.space(genotype)
    check_ranks(plan, options, searches=False)
    check_parts(plan.train, options)
    place = folder.path / "retrain" if folder is not None else None
    with deterministic(options.deterministic), on(options.device):
        with world.together():
            task = Retrain(
                space.target,
                plan.train,
                prepared,
                seed=plan.seed,
                device=options.device,
                world=world,
                numerics=options.training(plan.train),
                profile=options.profile,
            )
        drive(
            task, folder=place, watch=watch, wall_limit=options.wall_limit, tell=tell, world=world
        )
        loss, accuracy = task.measure("test")
        found: dict[str, Any] = {
            "test": {"loss": loss, "accuracy": accuracy},
            "params": cost.of_network(space.target).params,
            "epochs": task.epochs,
            "seconds": round(time.perf_counter() - began, 3),
            "genotype": forms.brief(genotype, space),
        }
        if prepared.parts.retrain_valid is not None:
            valid = task.measure("valid")
            found["valid"] = {"loss": valid[0], "accuracy": valid[1]}
    weights = shards.wholes(task.net.state_dict())
    if folder is not None and world.writes:
        folder.write_bytes("retrain/network.safetensors", _packed(weights))
        folder.write("retrain/result.json", found)
    return found
