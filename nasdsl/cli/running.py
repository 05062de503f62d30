"""`run`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import click

from nasdsl.cli import command_line, plugged, ranks
from nasdsl.cli.boundary import USAGE, Failure, guarded, say, warn, width
from nasdsl.cli.kernels import prepare_kernels

#: Those of `nasdsl.fusion.profile`, which is not loaded for `--help`.
PROFILES = ("balanced", "memory", "launch", "reference", "balanced+bf16", "compiled")
#: Those of `nasdsl.ir.schema`.
PRECISIONS = ("float32", "bf16", "fp16")


def pairs(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """`NAME=VALUE` options as a mapping."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise click.BadParameter(f"`{text}` is not NAME=VALUE")
        found[name.strip()] = value.strip()
    return found


def shared(f: Any) -> Any:
    """The options of every command that trains."""
    for option in (
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1."),
        click.option("--threads", type=click.IntRange(1), help="CPU threads [default: 1 for small networks, else all cores]."),
        click.option("--data-dir", type=click.Path(path_type=Path), help="Where data sets lie."),
        click.option("--precision", type=click.Choice(PRECISIONS),
                     help="Of forward passes; weights and gradients stay float32 [default: float32; "
                     "in retraining what the training settings say]."),
        click.option("--accumulate", type=click.IntRange(1), metavar="K",
                     help="Go through every batch in K parts, in the memory of one."),
        click.option("--deterministic", is_flag=True,
                     help="Refuse operators that may give another result the second time."),
        click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
                     show_default=True, help="How the result is shown."),
    ):  # fmt: skip
        f = option(f)
    return f


@click.command()
@click.argument("target", default="quickstart")
@click.option("--space", help="Space of the file [default: the one named like it, else the first].")
@click.option("--recipe", help="Recipe: of the file, or bundled.")
@click.option("--data", "dataset", help="Data set: of the file, or bundled.")
@click.option("--split", help="Split: of the file, or bundled.")
@click.option("--train", help="Training settings for retraining.")
@click.option("-P", "parameters", multiple=True, callback=pairs, metavar="NAME=VALUE",
              help="Parameter of the space.")  # fmt: skip
@click.option("--set", "changes", multiple=True, callback=pairs, metavar="SLOT=VALUE",
              help="epochs, batch; train.epochs, train.batch.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Run folder [default: runs/…].")
@click.option("--no-retrain", is_flag=True, help="Search only.")
@click.option("--profile", type=click.Choice(PROFILES), help="How networks run, never what they "
              "compute; +bf16 stores what cells keep in half the bits, gradients are then inexact "
              "(`compile --explain`) [default: balanced; of a run folder: its own].")  # fmt: skip
@click.option("--cuda-graph", is_flag=True,
              help="Record a step of the search as a CUDA graph and replay it.")  # fmt: skip
@click.option("--compile", "profile", flag_value="compiled",
              help="The same as --profile compiled: torch.compile for each distinct cell, minutes "
              "before the first step.")  # fmt: skip
@ranks.options
@plugged.option
@click.option("--resume", is_flag=True, help="TARGET is a run folder; go on where it stopped.")
@click.option("--accept-changes", is_flag=True,
              help="Go on in --out though the program has changed since.")  # fmt: skip
@click.option("--track", multiple=True, metavar="NAME",
              help="Tell a tracker, too: tensorboard, mlflow, wandb (offline).")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be run; write nothing.")
@click.option("--find-batch", is_flag=True,
              help="Say which batch of the search is the largest that fits; write nothing.")  # fmt: skip
@click.option("--memory", callback=command_line.memory, metavar="SIZE",
              help="Memory that --find-batch counts on, such as 8GB [default: what is free].")  # fmt: skip
@click.option("--wall-limit", type=float, metavar="SECONDS",
              help="Stop with a checkpoint after so many seconds.")  # fmt: skip
@shared
@guarded
def run(
    target: str,
    space: str | None,
    recipe: str | None,
    dataset: str | None,
    split: str | None,
    train: str | None,
    parameters: dict[str, str],
    changes: dict[str, str],
    seed: int,
    out: Path | None,
    no_retrain: bool,
    profile: str | None,
    cuda_graph: bool,
    nproc: int | None,
    max_restarts: int,
    batch_norm: str | None,
    shard: bool,
    resume: bool,
    accept_changes: bool,
    track: tuple[str, ...],
    dry_run: bool,
    find_batch: bool,
    memory: int | None,
    wall_limit: float | None,
    device: str,
    threads: int | None,
    data_dir: Path | None,
    precision: str | None,
    accumulate: int | None,
    deterministic: bool,
    form: str,
) -> None:
    """Search TARGET (a .nas file or a bundled name), then retrain what was found.

    \b
    TARGET may be a run folder: with --resume it goes on, without it is repeated
    from the sources it keeps. The same command with the same --out goes on, too.
    """
    from nasdsl.training import plan as plans
    from nasdsl.training import record
    from nasdsl.training.archive import reopen

    folder = Path(target)
    is_run = (folder / "run.json").is_file()
    if resume and not is_run:
        raise Failure(f"{target} is no run folder", 2)
    existing = record.RunFolder(folder) if is_run else None
    if existing is not None:
        plan = reopen(existing, run_plugins=True)
        order = existing.read("run.json")
        device = order["device"] if device == "auto" else device
        if nproc is None and not ranks.is_rank(os.environ):
            threads = threads or order["threads"]
        batch_norm = batch_norm or order.get("batch_norm")
        _tell(existing)
        profile = profile or order.get("profile", "reference")
        cuda_graph = cuda_graph or bool(order.get("cuda_graph", False))
        several = (nproc or 1) > 1 or ranks.is_rank(os.environ)
        shard = shard or (several and bool(order.get("sharded", False)))
        precision = precision or order.get("precision")
        accumulate = accumulate or order.get("accumulate")
        deterministic |= order.get("environment", {}).get("deterministic") == "yes"
    else:
        names = {
            "space": space, "recipe": recipe, "dataset": dataset, "split": split, "train": train,
        }  # fmt: skip
        plan = plans.make(
            plugged.load(target), names=names, parameters=parameters, changes=changes, seed=seed
        )
    if dry_run:
        _describe(plan, form)
        return
    _execute(
        plan,
        existing if resume else None,
        out,
        find=(memory,) if find_batch else None,
        device=device,
        threads=threads,
        data_dir=data_dir,
        form=form,
        no_retrain=no_retrain,
        wall_limit=wall_limit,
        accept_changes=accept_changes,
        track=track,
        profile=profile or PROFILES[0],
        cuda_graph=cuda_graph,
        nproc=nproc,
        max_restarts=max_restarts,
        batch_norm=batch_norm or "synchronised",
        shard=shard,
        precision=precision,
        accumulate=accumulate or 1,
        deterministic=deterministic,
    )


def _execute(
    plan: Any,
    existing: Any,
    out: Path | None,
    *,
    device: str,
    threads: int | None,
    data_dir: Path | None,
    form: str,
    no_retrain: bool,
    accept_changes: bool,
    track: tuple[str, ...],
    nproc: int | None,
    max_restarts: int,
    batch_norm: str,
    shard: bool,
    find: tuple[int | None] | None = None,
    **how: Any,
) -> None:
    import torch

    from nasdsl.oneshot.ranks.world import joined
    from nasdsl.training import checkpoint, record
    from nasdsl.training import run as runs
    from nasdsl.training.data import inputs
    from nasdsl.training.environment import device_of
    from nasdsl.training.lock import held

    world = ranks.world_here(nproc, batch_norm, shard)
    torch.set_num_threads(threads or runs.threads_for(plan, world))
    options = runs.Options(
        device=device_of(device, world),
        data_dir=data_dir,
        retrain=not no_retrain,
        world=world,
        **how,
    )
    runs.check_capture(plan, options)
    runs.check_ranks(plan, options)
    runs.check_numerics(plan, options)
    if find is not None:
        if world.several:
            raise Failure("--find-batch tries the batches of one process; leave --nproc out", USAGE)
        prepared = inputs.prepare(
            plan.dataset, plan.split, data_dir=options.data_dir, device=options.device
        )
        runs.check_fit(plan, prepared)
        _find_batch(plan, prepared, options, find[0], form)
        return
    named = existing.path if existing is not None else out
    if world.several and ranks.is_rank(os.environ) and named is None:
        raise Failure("give --out: a rank that is started again has to find its run", USAGE)
    names = plan.items
    place = named or record.fresh(Path("runs"), names["space"].name, names["recipe"].name)
    if world.several and not ranks.is_rank(os.environ):
        folder = record.RunFolder(place)
        ranks.launch(
            world.size,
            max_restarts,
            [] if named else ["--out", str(place)],
            again=f"go on with: nasdsl run {place} --resume --nproc {world.size}",
            begun=lambda: folder.has("run.json"),
            stopped=lambda: folder.read("run.json").get("status") == "stopped",
            reached=lambda: checkpoint.reached(place),
        )
        return
    with ranks.beside(world.rank), joined(world, options.device), ExitStack() as stack:
        with world.together():
            prepared = inputs.prepare(
                plan.dataset, plan.split, data_dir=options.data_dir, device=options.device
            )
            runs.check_fit(plan, prepared)
            folder = existing or record.RunFolder(place)
            if world.writes:
                stack.enter_context(held(place))
                folder = _opened(plan, prepared, folder, options, accept_changes)
        _carry_out(plan, prepared, folder, options, form, track)


def _find_batch(plan: Any, prepared: Any, options: Any, limit: int | None, form: str) -> None:
    """Say which batch fits, and the command that takes it."""
    from nasdsl.training import run as runs
    from nasdsl.training.environment import deterministic, on
    from nasdsl.training.largest import largest_batch

    prepare_kernels(plan, options)
    with deterministic(options.deterministic), on(options.device):
        found = largest_batch(runs.searching(plan, prepared, options), limit)
    command = command_line.again(
        click.get_current_context(),
        without=("find_batch", "memory"),
        more=f"--set batch={found.batch}",
    )
    if form == "json":
        fields = {"batch": found.batch, "most": found.most, "image": found.image}
        click.echo(json.dumps({"schema": 1, **fields, "limit": found.limit, "command": command}))
        return
    if not found.batch:
        raise Failure("not even a batch of one image fits; take a smaller network")
    whole = ", all images of an epoch" if found.batch == found.most else ""
    click.echo(f"batch      {found.batch}{whole}")
    if found.image is not None and found.limit is not None:
        click.echo(
            f"memory     predicted: {command_line.amount(found.image)} an image of {command_line.amount(found.limit)}"
        )
    click.echo(f"next       {command}")


def _opened(plan: Any, prepared: Any, folder: Any, options: Any, accept_changes: bool) -> Any:
    """The run in a folder, begun or gone on with. Raises RunError where it is another one."""
    from nasdsl.training import changed, index_lists, record
    from nasdsl.training import run as runs
    from nasdsl.training.archive import archive

    if not folder.has("run.json"):
        return runs.begin(plan, prepared, folder.path, options)
    order, sources = runs.order(plan, prepared, options), archive(plan)
    diff = changed.differences(folder, order, sources)
    if diff and not accept_changes:
        shown = "\n".join(f"  {line}" for line in diff)
        raise record.RunError(
            f"{folder.path} is not empty: its run is another one, or its data, split or program has "
            f"changed since it began\n{shown}\nChoose another folder, or go on with the changed "
            "program: --accept-changes"
        )
    if diff:
        changed.accept(folder, order, sources, diff)
    for part in ("versions", "environment"):
        before, now = folder.read("run.json").get(part) or {}, order[part]
        for name in sorted({*before, *now} if before else ()):
            if before.get(name) != now.get(name):
                say(
                    f"note: the run began with {name} {before.get(name)}, now it is {now.get(name)}"
                )
    folder.mend()
    index_lists.agreed(folder, prepared.parts)
    _tell(folder)  # now: the run may be stopped before its end
    return folder


def _carry_out(
    plan: Any, prepared: Any, folder: Any, options: Any, form: str, track: tuple[str, ...]
) -> None:
    import torch

    from nasdsl.cli.progress import Progress
    from nasdsl.ir.extension import PluginError
    from nasdsl.ir.faults import line_of
    from nasdsl.training import events
    from nasdsl.training import run as runs
    from nasdsl.training.archive import plugin_files
    from nasdsl.training.changed import lines
    from nasdsl.training.interrupt import Stopped
    from nasdsl.training.track.table import OPENERS
    from nasdsl.training.track.tracker import opened

    names = plan.items
    say(
        f"space {names['space'].name}, recipe {names['recipe'].name}, data {prepared.name} "
        f"({prepared.shape}, {prepared.classes} classes), {_where(options)}, "
        f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)}, seed {plan.seed}"
    )
    # One of them builds what the others then find built.
    with options.world.together():
        if options.world.writes:
            prepare_kernels(plan, options)
    if not options.world.writes:
        prepare_kernels(plan, options)
    if options.runs_as != options.settled().profile:
        say(
            f"note: batch-norms are synchronised between operators, so the supernet runs under the "
            f"profile {options.runs_as}, not {options.profile} (--batch-norm local runs under it)"
        )
    if events.wanted(plan.recipe) and not events.available():
        say(f"note: {events.MISSING}")
    for warning in prepared.warnings:
        say(f"note: {warning}")
    quiet = bool(click.get_current_context().find_root().params.get("quiet"))
    if not options.world.writes:
        try:
            runs.execute(plan, prepared, folder, options)
        except Stopped:
            raise SystemExit(ranks.stop_code(os.environ)) from None
        return
    settings = dict(lines(folder.read("run.json")))
    elsewhere = ranks.told_elsewhere(os.environ)
    with_ranks = f" --nproc {options.world.size}" if options.world.several else ""
    tracked = opened(track, OPENERS, folder.path, folder.path.name, settings, warn)
    try:
        with Progress(quiet=quiet) as progress:
            watch = tracked.watching(progress) if track else progress
            outcome = runs.execute(plan, prepared, folder, options, watch, warn)
        tracked.end("done", _ends(outcome))
    except Stopped as stopped:
        tracked.end("stopped", {})
        folder.update(status="stopped")
        if not elsewhere:
            say(f"{stopped}; go on with: nasdsl run {folder.path} --resume{with_ranks}")
        raise SystemExit(ranks.stop_code(os.environ)) from None
    except BaseException as error:
        with suppress(OSError, ValueError):  # what went wrong may be the disk
            folder.update(status="failed")
        tracked.end("failed", {})
        _tell(folder)
        if isinstance(error, Exception) and not elsewhere:
            say(f"once that is mended, go on with: nasdsl run {folder.path} --resume{with_ranks}")
        where = line_of(error, plugin_files(plan)) if isinstance(error, Exception) else None
        if where is None or click.get_current_context().find_root().params.get("debug"):
            raise
        raise PluginError(f"{where}: {type(error).__name__}: {error}") from error
    _tell(folder)
    _report(plan, outcome, folder, form)


def _where(options: Any) -> str:
    """The devices of a run."""
    world = options.world
    if not world.several:
        return str(options.device)
    return (
        f"{world.size} ranks on {options.device.partition(':')[0]}, batch-norm {world.batch_norm}"
        f"{', sharded' * world.sharded}"
    )


def _ends(outcome: Any) -> dict[str, float]:
    """The numbers a run ended with, by tag."""
    found = {
        f"end/{name}": outcome.search[name]["accuracy"]
        for name in ("valid", "valid_discrete")
        if name in outcome.search
    }
    if outcome.retrain is not None:
        found["end/test"] = outcome.retrain["test"]["accuracy"]
    return found


def _tell(folder: Any) -> None:
    """Say what was found damaged."""
    for note in folder.notes:
        warn(note)
    folder.notes.clear()


def _report(plan: Any, outcome: Any, folder: Any, form: str) -> None:
    from nasdsl.benchmarks.catalogue import built_in
    from nasdsl.report.benchmark import benchmark_lines, benchmark_report

    # The run is on disk by now; what a benchmark knows of it is an addition.
    known = built_in(plan.space(), outcome.genotype)
    if form == "json":
        click.echo(
            json.dumps(
                {
                    "schema": 1,
                    "run": str(folder.path),
                    "genotype": outcome.search["genotype"],
                    "text": outcome.text,
                    # A search that trains networks one by one has no supernet to lose by.
                    "valid": outcome.search.get("valid"),
                    "discretization_gap": outcome.search.get("discretization_gap"),
                    "warnings": outcome.search.get("warnings", []),
                    "retrain": outcome.retrain,
                    "benchmark": None if known is None else benchmark_report(*known),
                },
                indent=1,
            )
        )
        return
    search = outcome.search
    click.echo(f"genotype   {wrap(outcome.text, 11)}")
    click.echo(f"search     {_reached(search)}")
    for warning in search.get("warnings", ()):
        click.echo(f"warning    {wrap(warning, 11)}")
    if outcome.retrain is not None:
        test, epochs = outcome.retrain["test"], outcome.retrain["epochs"]
        click.echo(
            f"retrained  {test['accuracy']:.2f} % on held-out test images "
            f"({outcome.retrain['params']:,} parameters, {epochs} epoch{'s' * (epochs != 1)})"
        )
    if known is not None:
        click.echo("\n".join(benchmark_lines(benchmark_report(*known), width())))
    click.echo(f"run        {folder.path}")
    say(f"next: nasdsl inspect {folder.path}")


def _reached(search: Mapping[str, Any]) -> str:
    """What a search came to on its validation images."""
    discrete = search["valid_discrete"]["accuracy"]
    if "tried" in search:
        count = len({t["text"] for t in search["tried"]})
        return f"{discrete:.2f} % on validation images, the best of {count} trained networks"
    return (
        f"{search['valid']['accuracy']:.2f} % on validation images, "
        f"{discrete:.2f} % as one-hot supernet"
    )


def wrap(text: str, indent: int, columns: int = 80) -> str:
    """Long text over several lines, continued under its beginning."""
    import textwrap

    lines = text.splitlines()
    if len(lines) > 1:
        return f"\n{' ' * indent}".join(lines)
    # A pair of a genotype stays on one line.
    tied = text.replace("', ", "',\0")
    wrapped = textwrap.wrap(tied, columns - indent, break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(wrapped).replace("\0", " ")


def _describe(plan: Any, form: str) -> None:
    from nasdsl.codegen.emit import NotExecutable
    from nasdsl.codegen.supernet import check_executable
    from nasdsl.ir import cost
    from nasdsl.ir.config import show
    from nasdsl.oneshot.samplers.table import sampler as sampler_of

    space = plan.space()
    sampler = plan.recipe.get("sampler")
    one_hot = sampler is not None and sampler_of(sampler).one_hot
    supernet = cost.of_network(space.supernet)
    try:
        if sampler is not None:
            check_executable(space, one_hot=one_hot)
    except NotExecutable as error:
        say(f"note: this version does not search it: {error}")
    found = {
        "space": space.name,
        "parameters": dict(space.parameters),
        "architectures": str(space.size()),
        "supernet": {"params": supernet.params, "macs": supernet.macs},
        "recipe": {k: show(v) for k, v in plan.recipe.values if v is not None},
        "data": {
            "name": plan.data.name,
            "shape": str(plan.data.shape),
            "classes": plan.data.classes,
        },
        "split": {k: show(v) for k, v in plan.split.values if v is not None},
        "train": {k: show(v) for k, v in plan.train.values if v is not None},
        "seed": plan.seed,
    }
    if form == "json":
        click.echo(json.dumps({"schema": 1, **found}, indent=1))
        return
    for name, value in found.items():
        if isinstance(value, dict):
            click.echo(name)
            for key, text in value.items():
                shown = f"{text:,}" if isinstance(text, int) else text
                click.echo(f"  {key:14} {wrap(str(shown), 17)}")
        else:
            click.echo(f"{name:16} {value}")
