"""`suite`: plan, run, status, report; and `cell`, by which processes do their part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nasdsl.cli import plugged
from nasdsl.cli.boundary import STOPPED, WRONG, Failure, guarded, say, width
from nasdsl.cli.running import pairs

if TYPE_CHECKING:
    from nasdsl.suite.planning import SuitePlan
    from nasdsl.suite.statistics.factors import Factor
    from nasdsl.suite.statistics.results import Results, Summary


@click.group()
def suite() -> None:
    """Run spaces x recipes x data x seeds, and say what the results show."""


_FORM = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
                     show_default=True, help="How the result is shown.")  # fmt: skip
_SUITE = click.option("--suite", "name", help="Suite of the file [default: its only one].")


def _means(f: Any) -> Any:
    for option in (
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1."),
        click.option("--threads", type=click.IntRange(1), help="CPU threads of a cell [default: as `run`]."),
        click.option("--data-dir", type=click.Path(path_type=Path), help="Where data sets lie."),
    ):  # fmt: skip
        f = option(f)
    return f


def _planned(source: str, name: str | None) -> tuple[Any, SuitePlan]:
    from nasdsl.suite import declaration, planning

    loaded = plugged.load(source)
    declared = declaration.declared(loaded, declaration.suite_name(loaded, name))
    return loaded, planning.plan(loaded, declared)


@suite.command()
@click.argument("source")
@_SUITE
@plugged.option
@_FORM
@guarded
def plan(source: str, name: str | None, form: str) -> None:
    """Say what SOURCE (a .nas file or a bundled name) would run, and what it would cost."""
    from nasdsl.report.suite_plan import plan_report, plan_text

    _, made = _planned(source, name)
    if form == "json":
        click.echo(json.dumps(plan_report(made), indent=1))
    else:
        click.echo(plan_text(made, width()), nl=False)


@suite.command()
@click.argument("source")
@_SUITE
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder [default: runs/SUITE].")
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True,
              help="Cells at once, each in a process of its own.")  # fmt: skip
@click.option("--inline", is_flag=True, help="One by one in this process; no time limit.")
@click.option("--retries", type=click.IntRange(0), default=1, show_default=True,
              help="Attempts after a failed one.")  # fmt: skip
@click.option("--time-limit", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
              help="Of an attempt at a cell.")  # fmt: skip
@click.option("--again", is_flag=True, help="Give failed cells another chance.")
@click.option("--dry-run", is_flag=True, help="As `plan`; write nothing.")
@_means
@plugged.option
@guarded
def run(
    source: str,
    name: str | None,
    out: Path | None,
    jobs: int,
    inline: bool,
    retries: int,
    time_limit: float | None,
    again: bool,
    dry_run: bool,
    device: str,
    threads: int | None,
    data_dir: Path | None,
) -> None:
    """Run SOURCE: a .nas file, a bundled name, or the folder of a suite that goes on.

    Several may run on one folder at once; each cell is done by one of them. A cell that fails does
    not stop the others.
    """
    from nasdsl.report.suite_plan import plan_text
    from nasdsl.suite import executor, folder, work
    from nasdsl.suite.outcome import standing
    from nasdsl.training.environment import device_of
    from nasdsl.training.interrupt import Stopped

    place = Path(source)
    if not dry_run and folder.is_suite(place):
        kept = folder.SuiteFolder(place)
    else:
        loaded, made = _planned(source, name)
        if dry_run:
            click.echo(plan_text(made, width()), nl=False)
            return
        kept = folder.create(out or Path("runs") / made.declared.name, loaded, made)
    means = work.Means(device=device_of(device), threads=threads, data_dir=data_dir)
    limits = executor.Limits(jobs=jobs, retries=retries, seconds=time_limit)
    store = kept.open()
    if again and (count := store.again()):
        say(f"{count} failed cell{'s' * (count != 1)} once more")
    doer: executor.Executor
    if inline:
        own = kept.loaded(run_plugins=True)

        def perform(stored: Any) -> Any:
            return work.perform(kept, own, stored.cell, lambda d: store.get(d).result or {}, means)

        doer = executor.Inline(perform)
    else:
        doer = executor.Processes(kept, means, limits)

    def tell(stored: Any) -> None:
        now = standing(store.all())
        done = sum(n for (_, state), n in now.counts.items() if state == "done")
        what = stored.state if stored.error is None else f"{stored.state}: {stored.error}"
        say(f"{done}/{sum(now.counts.values())}  {stored.cell.title}  {what}")

    try:
        executor.run(store, doer, limits, tell)
    except Stopped as stopped:
        say(f"{stopped}; go on with: nasdsl suite run {kept.path}")
        raise SystemExit(STOPPED) from None
    now = standing(store.all())
    click.echo(f"suite      {kept.path}")
    for failed in now.failed:
        click.echo(f"failed     {failed.cell.title}: {failed.error}")
    if now.failed:
        say(f"{len(now.failed)} failed, {now.held} wait for them; logs in {kept.path / 'logs'}")
        raise SystemExit(WRONG)
    say(f"next: nasdsl suite report {kept.path}")


@suite.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_FORM
@guarded
def status(folder: Path, form: str) -> None:
    """Say how far the suite in FOLDER is, what failed, and how long it will take."""
    from nasdsl.report.suite_plan import status_report, status_text
    from nasdsl.suite.folder import SuiteFolder
    from nasdsl.suite.outcome import standing

    kept = SuiteFolder(folder)
    found = standing(kept.open().all())
    if form == "json":
        click.echo(json.dumps(status_report(found), indent=1))
    else:
        click.echo(status_text(kept.about(), found, width()), nl=False)


@suite.command(hidden=True)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("digest")
@_means
@guarded
def cell(
    folder: Path, digest: str, device: str, threads: int | None, data_dir: Path | None
) -> None:
    """Do one cell of the suite in FOLDER; the process that claimed it writes its result down."""
    from nasdsl.suite import executor, work
    from nasdsl.suite.folder import SuiteFolder
    from nasdsl.training.environment import device_of
    from nasdsl.training.interrupt import Stopped

    executor.leave_with_parent()
    kept = SuiteFolder(folder)
    with executor.alone(folder / "locks" / digest):
        store = kept.open()
        means = work.Means(device=device_of(device), threads=threads, data_dir=data_dir)
        try:
            work.perform(
                kept,
                kept.loaded(run_plugins=True),
                store.get(digest).cell,
                lambda d: store.get(d).result or {},
                means,
                _print_epoch,
            )
        except Stopped as stopped:
            say(str(stopped))
            raise SystemExit(STOPPED) from None


def _print_epoch(moment: Any) -> None:
    from nasdsl.cli.progress import note

    if moment.record is not None:
        click.echo(f"{moment.task} epoch {moment.epoch + 1}/{moment.epochs}  {note(moment.record)}")


def results_options(f: Any) -> Any:
    """How results are read and summed up; shared by the commands that show them."""
    for option in (
        click.option("--column", "columns", multiple=True, callback=pairs, metavar="WHAT=NAME",
                     help="Of a CSV: which column is the optimizer, benchmark (A+B for two "
                     "together), setting, seed or value, where it is not seen from its name."),
        click.option("--measure", help="Of a suite: another measure of its runs, as `test.loss`."),
        click.option("--best/--mean", "best", default=None,
                     help="Compare the best of the settings, labelled so, or their mean [default: "
                     "as the suite says, else the mean]."),
        click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True),
                     default=0.05, show_default=True, help="What counts as significant."),
    ):  # fmt: skip
        f = option(f)
    return f


def read_results(
    source: Path, columns: dict[str, str], measure: str | None, best: bool | None
) -> tuple[Results, Summary, list[Factor]]:
    """Results of a CSV table or of the folder of a suite, how they are summed up, and the factors
    that the suite asks for. Raises StatisticsError, SuiteError.
    """
    from nasdsl.suite import table
    from nasdsl.suite.folder import SuiteFolder
    from nasdsl.suite.outcome import factors_of, results_of

    if source.is_dir():
        if columns:
            raise Failure("--column is for a CSV table", 2)
        kept = SuiteFolder(source)
        about = kept.about(measure)
        stored = kept.open().all()
        wanted = about["best"] if best is None else best
        found = results_of(about, stored)
        return found, "best" if wanted else "mean", factors_of(about, stored)
    if measure is not None:
        raise Failure("--measure is for a suite; --column value=NAME names that of a CSV table", 2)
    unknown = sorted(set(columns) - set(table.NAMES))
    if unknown:
        raise Failure(f"--column {unknown[0]}: it is one of {', '.join(table.NAMES)}", 2)
    return table.read(source, columns), "best" if best else "mean", []


@suite.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@results_options
@click.option("--csv", "csv", type=click.Path(path_type=Path), help="Write the results there.")
@guarded
def report(
    source: Path,
    columns: dict[str, str],
    measure: str | None,
    best: bool | None,
    alpha: float,
    csv: Path | None,
) -> None:
    """Statistics of SOURCE, a CSV table of results or the folder of a suite."""
    from nasdsl.report.factors_text import factors_text
    from nasdsl.report.suite_text import study_text
    from nasdsl.suite import table
    from nasdsl.suite.statistics.study import study

    results, summary, factors = read_results(source, columns, measure, best)
    if csv is not None:
        table.write(results, csv)
    click.echo(study_text(study(results, summary=summary, alpha=alpha)), nl=False)
    if factors:
        click.echo("\n" + factors_text(factors), nl=False)
