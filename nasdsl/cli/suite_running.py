"""`suite run`, and `suite cell`, by which processes, jobs and tasks do their part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nasdsl.cli import plugged, suite_places
from nasdsl.cli.boundary import STOPPED, WRONG, guarded, say, warn, width
from nasdsl.cli.suite_cluster import QUEUED, Asked, Duration, asked

if TYPE_CHECKING:
    from nasdsl.suite.cell import Cell
    from nasdsl.suite.folder import SuiteFolder
    from nasdsl.suite.planning import SuitePlan
    from nasdsl.suite.store import Store


def _means(f: Any) -> Any:
    for option in (
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1."),
        click.option("--threads", type=click.IntRange(1), help="CPU threads of a cell [default: as `run`]."),
        click.option("--data-dir", type=click.Path(path_type=Path), help="Where data sets lie."),
    ):  # fmt: skip
        f = option(f)
    return f


def planned(source: str, name: str | None) -> tuple[Any, SuitePlan]:
    """A suite of a file with its cells. Raises CompileError, SuiteError."""
    from nasdsl.suite import declaration, planning

    loaded = plugged.load(source)
    declared = declaration.declared(loaded, declaration.suite_name(loaded, name))
    return loaded, planning.plan(loaded, declared)


@click.command()
@click.argument("source", required=False)
@click.option("--suite", "name", help="Suite of the file, or of --store [default: its only one].")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder [default: runs/SUITE].")
@suite_places.store
@click.option("-j", "--jobs", type=click.IntRange(1),
              help=f"Cells at once, each in a process [default: 1; {QUEUED} in a cluster].")  # fmt: skip
@click.option("--inline", is_flag=True, help="One by one in this process; no time limit.")
@click.option("--retries", type=click.IntRange(0), default=1, show_default=True,
              help="Attempts after a failed one.")  # fmt: skip
@click.option("--time-limit", type=Duration(), metavar="TIME",
              help="Of an attempt at a cell: 90s, 30m, 8h; a number is seconds.")  # fmt: skip
@click.option("--again", is_flag=True, help="Give failed cells another chance.")
@click.option("--dry-run", is_flag=True, help="As `plan`; write nothing.")
@asked
@_means
@plugged.option
@guarded
def run(
    source: str | None,
    name: str | None,
    out: Path | None,
    url: str | None,
    jobs: int | None,
    inline: bool,
    retries: int,
    time_limit: float | None,
    again: bool,
    dry_run: bool,
    device: str,
    threads: int | None,
    data_dir: Path | None,
    **where: Any,
) -> None:
    """Run SOURCE: a .nas file, a bundled name, or the folder of a suite that goes on.

    Several may run on one folder at once, or on one --store from many machines (also without
    SOURCE, where the store has the suite); each cell is done by one of them. A cell that fails does
    not stop the others. In a cluster every node must see the folder.
    """
    from nasdsl.suite import executor, work
    from nasdsl.suite.executors.inline import Inline
    from nasdsl.training.environment import device_of
    from nasdsl.training.interrupt import Stopped

    place = Asked(inline=inline, **where)
    place.check(time_limit)
    held = _folder(source, name, out, url, dry_run)
    if held is None:
        return
    # Nodes of a cluster have devices that this machine may not have.
    device = device_of(device) if place.here else device
    means = work.Means(device=device, threads=threads or place.cpus, data_dir=data_dir)
    limits = executor.Limits(
        jobs=jobs or (1 if place.here else QUEUED), retries=retries, seconds=time_limit
    )
    for note in held.files.notes:
        warn(note)
    held.files.notes.clear()
    store = held.open(url)
    if again and (count := store.again()):
        say(f"{count} failed cell{'s' * (count != 1)} once more")
    doer: executor.Executor
    if inline:
        own = held.loaded(run_plugins=True)
        doer = Inline(lambda task: work.perform(held, own, task, means, tell=warn))
    else:
        doer = place.made(held, means, limits)

    def tell(stored: Any) -> None:
        done, total = store.counts()
        what = stored.state if stored.error is None else f"{stored.state}: {stored.error}"
        say(f"{done}/{total}  {stored.cell.title}  {what}")

    try:
        executor.run(store, doer, limits, tell)
    except Stopped as stopped:
        say(f"{stopped}; go on with: nasdsl suite run {held.path}")
        raise SystemExit(STOPPED) from None
    finally:
        doer.close()
    _close(held, store)


def _folder(
    source: str | None, name: str | None, out: Path | None, url: str | None, dry_run: bool
) -> SuiteFolder | None:
    """The folder that is worked in; None where a plan is only shown."""
    from nasdsl.report.suite_plan import plan_text
    from nasdsl.suite import folder

    if source is None:
        if url is None or dry_run:
            raise click.UsageError(
                "SOURCE is missing: a .nas file, a bundled name, or the folder of a suite"
            )
        return folder.join(out, url, name)
    if not dry_run and folder.is_suite(Path(source)):
        held = folder.SuiteFolder(Path(source))
        held.mend(lambda: _cells(held))
        return held
    loaded, made = planned(source, name)
    if dry_run:
        click.echo(plan_text(made, width()), nl=False)
        return None
    return folder.create(out or Path("runs") / made.declared.name, loaded, made, url)


def _cells(held: SuiteFolder) -> tuple[Cell, ...]:
    """The cells of a suite, from the texts that its folder keeps."""
    from nasdsl.suite import declaration, planning

    loaded = held.loaded(run_plugins=True)
    return planning.plan(loaded, declaration.declared(loaded, held.about()["suite"])).cells


def _close(held: SuiteFolder, store: Store) -> None:
    """Say how it ended; a suite with failed cells ends with an error."""
    from nasdsl.suite.outcome import standing

    now = standing(store.all())
    click.echo(f"suite      {held.path}")
    for failed in now.failed:
        click.echo(f"failed     {failed.cell.title}: {failed.error}")
    if now.failed:
        say(
            f"{len(now.failed)} failed, {now.held} wait for them; logs in {held.path / 'logs'}; "
            "--again gives them another chance"
        )
        raise SystemExit(WRONG)
    say(f"next: nasdsl suite report {held.path}")


@click.command(hidden=True)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("digest")
@_means
@guarded
def cell(
    folder: Path, digest: str, device: str, threads: int | None, data_dir: Path | None
) -> None:
    """Do one cell of the suite in FOLDER; the worker that claimed it writes its result down."""
    from nasdsl.suite import attend, work
    from nasdsl.suite.folder import SuiteFolder, alone
    from nasdsl.training.environment import device_of
    from nasdsl.training.interrupt import Stopped

    attend.leave_with_parent()
    held = SuiteFolder(folder)
    with alone(folder / "locks" / digest):
        means = work.Means(device=device_of(device), threads=threads, data_dir=data_dir)
        task, loaded = held.read_task(digest), held.loaded(run_plugins=True)
        try:
            work.perform(held, loaded, task, means, _print_epoch, warn)
        except Stopped as stopped:
            say(str(stopped))
            raise SystemExit(STOPPED) from None


def _print_epoch(moment: Any) -> None:
    from nasdsl.cli.progress import note

    if moment.record is not None:
        click.echo(f"{moment.task} epoch {moment.epoch + 1}/{moment.epochs}  {note(moment.record)}")
