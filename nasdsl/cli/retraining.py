"""`retrain`."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path

import click

from nasdsl.cli import given, ranks
from nasdsl.cli.boundary import USAGE, Failure, guarded, say, warn
from nasdsl.cli.kernels import prepare_kernels
from nasdsl.cli.running import PROFILES, pairs, shared


@click.command()
@click.argument("run_folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--genotype", "text", help="Another genotype: text, file, or published name.")
@click.option("--train", help="Other training settings, bundled or a file.")
@click.option("--set", "changes", multiple=True, callback=pairs, metavar="SLOT=VALUE",
              help="epochs, batch.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), help="Another seed.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=False,
              help="Folder for this retraining; one that was begun goes on [default: RUN/retrain-N].")  # fmt: skip
@click.option("--profile", type=click.Choice(PROFILES[:4]),
              help="How the network runs, never what it computes [default: the run's own].")  # fmt: skip
@ranks.options
@shared
@guarded
def retrain(
    run_folder: Path,
    text: str | None,
    train: str | None,
    changes: dict[str, str],
    seed: int | None,
    out: Path | None,
    profile: str | None,
    nproc: int | None,
    max_restarts: int,
    batch_norm: str | None,
    shard: bool,
    device: str,
    threads: int | None,
    data_dir: Path | None,
    precision: str | None,
    accumulate: int | None,
    deterministic: bool,
    form: str,
) -> None:
    """Retrain the genotype of RUN_FOLDER, with other settings or another genotype."""
    from dataclasses import replace

    import torch

    from nasdsl.cli.progress import Progress
    from nasdsl.ir.formats import forms
    from nasdsl.ir.genotype import loads
    from nasdsl.oneshot.ranks.world import joined
    from nasdsl.training import checkpoint, index_lists, record
    from nasdsl.training import plan as plans
    from nasdsl.training import run as runs
    from nasdsl.training.agreement import same_data
    from nasdsl.training.archive import reopen
    from nasdsl.training.data import inputs
    from nasdsl.training.environment import device_of
    from nasdsl.training.interrupt import Stopped
    from nasdsl.training.lock import held

    source = record.RunFolder(run_folder)
    plan = reopen(source)
    if train is not None or changes:
        items = dict(plan.items)
        if train is not None:
            items["train"] = plans.find("train", train, plan.items["space"].loaded)
        merged = {**plan.changes, **{f"train.{k}": v for k, v in changes.items()}}
        plan = plans.make_from_items(
            items, parameters=plan.parameters, changes=merged, seed=plan.seed
        )
    if seed is not None:
        plan = replace(plan, seed=seed)
    space = plan.space()
    if text is not None:
        genotype = forms.parse(given.text_of(text), space)
    else:
        genotype = loads(json.dumps(source.read("genotype.json")))
    world = ranks.world_here(nproc, batch_norm or "synchronised", shard)
    torch.set_num_threads(threads or runs.threads_for(plan, world))
    options = runs.Options(
        device=device_of(device, world),
        profile=profile or source.read("run.json").get("profile", PROFILES[0]),
        data_dir=data_dir,
        world=world,
        precision=precision,
        accumulate=accumulate or 1,
        deterministic=deterministic,
    )
    runs.check_ranks(plan, options, searches=False)
    started = world.several and ranks.is_rank(os.environ)
    if started and out is None:
        raise Failure("give --out: a rank that is started again has to find its folder", USAGE)
    n = 1
    while out is None and (run_folder / f"retrain-{n}").exists():
        n += 1
    folder = record.RunFolder(out or run_folder / f"retrain-{n}")
    again = f"go on with the same command and --out {folder.path}"
    if world.several and not started:
        ranks.launch(
            world.size,
            max_restarts,
            [] if out else ["--out", str(folder.path)],
            again=again,
            begun=folder.path.exists,
            stopped=lambda: not folder.has("retrain/result.json"),
            reached=lambda: checkpoint.reached(folder.path),
        )
        return
    quiet = bool(click.get_current_context().find_root().params.get("quiet"))
    with ranks.beside(world.rank), joined(world, options.device), ExitStack() as stack:
        with world.together():
            prepared = inputs.prepare(
                plan.dataset, plan.split, data_dir=data_dir, device=options.device
            )
            runs.check_fit(plan, prepared)
            if world.writes:
                stack.enter_context(held(folder.path))
                index_lists.agreed(folder, prepared.parts)
        same_data(prepared, world)
        if not world.several:
            prepare_kernels(plan, options)
        progress = stack.enter_context(Progress(quiet=quiet or not world.writes))
        try:
            found = runs.retrain(plan, prepared, genotype, folder, options, progress, warn)
        except Stopped as stopped:
            if not ranks.told_elsewhere(os.environ):
                say(f"{stopped}; {again}")
            raise SystemExit(ranks.stop_code(os.environ)) from None
        if not world.writes:
            return
        folder.write("genotype.json", genotype.as_json())
    if form == "json":
        click.echo(json.dumps({"schema": 1, "folder": str(folder.path), **found}, indent=1))
        return
    click.echo(f"retrained  {found['test']['accuracy']:.2f} % on held-out test images "
               f"({found['params']:,} parameters)")  # fmt: skip
    click.echo(f"folder     {folder.path}")
