"""A run from its plan to its result, in a folder that is enough to repeat it."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from nasdsl.codegen.supernet import check_executable
from nasdsl.ir import cost
from nasdsl.ir.config import Component, Pipeline, Settings, show
from nasdsl.ir.formats import forms
from nasdsl.ir.genotype import Genotype, loads
from nasdsl.ir.printer import digest
from nasdsl.ir.space import Space
from nasdsl.oneshot import edits, entangle
from nasdsl.oneshot.compose import compose
from nasdsl.oneshot.phases import phases_of
from nasdsl.oneshot.samplers.table import sampler as sampler_of
from nasdsl.passes.edges import PassError
from nasdsl.training import events, record
from nasdsl.training import plan as plans
from nasdsl.training.archive import archive, used
from nasdsl.training.captured import CudaCapture, unfit
from nasdsl.training.data import inputs
from nasdsl.training.data.arrays import DIMENSIONS
from nasdsl.training.loop import Teller, Watcher, drive
from nasdsl.training.plan import Plan
from nasdsl.training.record import RunFolder
from nasdsl.training.retrain import Retrain
from nasdsl.training.search import Search
from nasdsl.training.stand_alone import StandAlone
from nasdsl.version import VERSION


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is made; device, threads and profile change results in the last digits alone."""

    device: str = "cpu"
    #: How the supernet runs, see `nasdsl.fusion.profile`.
    profile: str = "balanced"
    data_dir: Path | None = None
    retrain: bool = True
    wall_limit: float | None = None
    #: Whether the steps of the search are recorded as a CUDA graph, see `nasdsl.training.captured`.
    cuda_graph: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave."""

    genotype: Genotype
    text: str
    search: dict[str, Any]
    retrain: dict[str, Any] | None


def device_of(wanted: str) -> str:
    """`auto` is CUDA where there is one. Raises PlanError for a device that is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise plans.PlanError("no CUDA device was found; `--device auto` takes the CPU")
    try:
        torch.device(wanted)
    except RuntimeError:
        raise plans.PlanError(f"unknown device `{wanted}`") from None
    return wanted


#: Multiply-adds of a batch below which a second thread costs more than it brings where
#: other work runs on the machine: operators are so short that waiting for each other dominates.
SMALL_BATCH = 10**9


def threads_for(plan: Plan) -> int:
    """CPU threads a run takes by itself: one for small networks, else every core.

    `OMP_NUM_THREADS` goes before. It is a function of the run alone, so equal runs stay equal.
    """
    if os.environ.get("OMP_NUM_THREADS", "").isdigit():
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    batch = plan.recipe.get("batch") or plan.train.get("batch")
    work = cost.of_network(plan.space().supernet).macs * int(batch)
    return 1 if work < SMALL_BATCH else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Versions that a result may depend on."""
    found = {"nasdsl": VERSION, "python": platform.python_version(), "torch": torch.__version__}
    for name in ("numpy", "lark", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


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
        "device": options.device,
        "profile": options.profile,
        **({"cuda_graph": True} if options.cuda_graph else {}),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "plugins": used(plan),
    }


def begin(plan: Plan, prepared: inputs.Inputs, folder: Path, options: Options) -> RunFolder:
    """A new run folder with everything that decides the run. Raises RunError, DiskError."""
    made = order(plan, prepared, options)
    started = {"argv": sys.argv[1:], "started": record.now()}
    return record.create(folder, made | started, archive(plan))


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
    if stand_alone(plan.recipe):
        raise plans.PlanError("--cuda-graph: this recipe trains architectures one by one")
    for phase in phases_of(plan.recipe):
        reason = unfit(phase.settings, compose(phase.settings), options.device)
        if reason is not None:
            raise plans.PlanError(f"--cuda-graph: {reason}")


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
    Stopped, and what `drive` raises.
    """
    check_fit(plan, prepared)
    check_capture(plan, options)
    began = time.perf_counter()
    space = plan.space()
    if folder is not None and folder.has("result.json") and folder.sound(*_outputs(plan.recipe)):
        found = folder.read("result.json")
    else:
        search: Search | StandAlone
        if stand_alone(plan.recipe):
            search = StandAlone(
                space,
                plan.recipe,
                plan.train,
                prepared,
                seed=plan.seed,
                device=options.device,
                limits=plan.limits(),
            )
        else:
            search = Search(
                space,
                plan.recipe,
                prepared,
                seed=plan.seed,
                device=options.device,
                space_of=lambda network: plan.space(network=network),
                limits=plan.limits(),
                profile=options.profile,
                capture=CudaCapture(torch.device(options.device)) if options.cuda_graph else None,
            )
        seen = watch
        if folder is not None and events.wanted(plan.recipe) and events.available():
            seen = events.events(folder.path / "events", watch)
        drive(
            search,
            folder=folder.path if folder else None,
            watch=seen,
            wall_limit=options.wall_limit,
            tell=tell,
        )
        found = search.result()
        found["genotype"]["digest"] = digest(space)
        found["seconds"] = round(time.perf_counter() - began, 3)
        if folder is not None:
            _write_result(folder, found, search)
    genotype = loads(_dumps(found["genotype"]))
    outcome = None
    if options.retrain:
        outcome = retrain(plan, prepared, genotype, folder, options, watch, tell)
    if folder is not None:
        folder.update(status="done", ended=record.now())
    return Outcome(genotype, found["text"], found, outcome)


def searched(plan: Plan, found: Mapping[str, Any]) -> Space:
    """The space of the supernet that a search ended with, from its result. Raises PassError."""
    structure = found.get("structure", {"phase": 0, "kept": {}})
    phase = phases_of(plan.recipe)[structure["phase"]]
    space = plan.space(network=dict(phase.settings.network))
    return edits.edited(space, phase.settings, structure["kept"])


def _dumps(value: Any) -> str:
    import json

    return json.dumps(value)


def _outputs(recipe: Settings) -> tuple[str, ...]:
    """The files that a finished search leaves."""
    texts = ("genotype.json", "genotype.txt", "result.json")
    tensors = ("supernet.safetensors", "alphas.safetensors")
    return texts if stand_alone(recipe) else (*texts, *tensors)


def _packed(tensors: Mapping[str, torch.Tensor]) -> bytes:
    return save({n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()})


def _write_result(folder: RunFolder, found: dict[str, Any], search: Search | StandAlone) -> None:
    # The genotype first: whatever fails after it, the search is not lost. The result last: a
    # folder that has it has everything.
    folder.write("genotype.json", found["genotype"])
    folder.write_text("genotype.txt", found["text"] + "\n")
    if isinstance(search, Search):
        supernet = edits.plain(search.session.supernet).state_dict()
        folder.write_bytes("supernet.safetensors", _packed(supernet))
        folder.write_bytes("alphas.safetensors", _packed(search.session.arch.alphas()))
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
    outputs = ("retrain/network.safetensors", "retrain/result.json")
    if folder is not None and folder.has("retrain/result.json") and folder.sound(*outputs):
        found: dict[str, Any] = folder.read("retrain/result.json")
        return found
    space = plan.space(genotype)
    task = Retrain(space.target, plan.train, prepared, seed=plan.seed, device=options.device)
    place = folder.path / "retrain" if folder is not None else None
    drive(task, folder=place, watch=watch, wall_limit=options.wall_limit, tell=tell)
    loss, accuracy = task.measure("test")
    found = {
        "test": {"loss": loss, "accuracy": accuracy},
        "params": cost.of_network(space.target).params,
        "epochs": task.epochs,
        "seconds": round(time.perf_counter() - began, 3),
        "genotype": forms.brief(genotype, space),
    }
    if prepared.parts.retrain_valid is not None:
        valid = task.measure("valid")
        found["valid"] = {"loss": valid[0], "accuracy": valid[1]}
    if folder is not None:
        folder.write_bytes("retrain/network.safetensors", _packed(task.net.state_dict()))
        folder.write("retrain/result.json", found)
    return found
