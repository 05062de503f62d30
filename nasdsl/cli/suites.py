"""`suite`: plan, run, status, report; and `cell`, by which processes do their part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasdsl.cli import plugged, suite_places, suite_running
from nasdsl.cli.boundary import Failure, guarded, width
from nasdsl.cli.running import pairs

if TYPE_CHECKING:
    from nasdsl.suite.statistics.results import Results


@click.group()
def suite() -> None:
    """Run spaces x recipes x data x seeds, and say what the results show."""


_FORM = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
                     show_default=True, help="How the result is shown.")  # fmt: skip


@suite.command()
@click.argument("source")
@click.option("--suite", "name", help="Suite of the file [default: its only one].")
@plugged.option
@_FORM
@guarded
def plan(source: str, name: str | None, form: str) -> None:
    """Say what SOURCE (a .nas file or a bundled name) would run, and what it would cost."""
    from nasdsl.report.suite_plan import plan_report, plan_text

    _, made = suite_running.planned(source, name)
    if form == "json":
        click.echo(json.dumps(plan_report(made), indent=1))
    else:
        click.echo(plan_text(made, width()), nl=False)


suite.add_command(suite_running.run)


@suite.command()
@click.argument(
    "folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@suite_places.store
@suite_places.which
@_FORM
@guarded
def status(folder: Path | None, url: str | None, name: str | None, form: str) -> None:
    """Say how far the suite in FOLDER is, what failed, and how long it will take.

    With --store alone: which suites there are.
    """
    from nasdsl.report.suite_plan import kept_report, kept_text, status_report, status_text
    from nasdsl.suite.kept import listed
    from nasdsl.suite.outcome import standing
    from nasdsl.suite.postgres import Postgres

    if folder is None and url is not None and name is None:
        found = listed(Postgres(url))
        if len(found) != 1:
            text = json.dumps(kept_report(found), indent=1) + "\n"
            click.echo(text if form == "json" else kept_text(found), nl=False)
            return
    about, store = suite_places.opened(folder, url, name)
    now = standing(store.all())
    if form == "json":
        click.echo(json.dumps(status_report(now), indent=1))
    else:
        click.echo(status_text(about, now, width()), nl=False)


suite.add_command(suite_running.cell)


def results_of(source: Path, columns: dict[str, str]) -> Results:
    """Results of a table or of the folder of a suite. Raises StatisticsError, SuiteError."""
    from nasdsl.suite import table
    from nasdsl.suite.folder import SuiteFolder
    from nasdsl.suite.outcome import results_of

    if source.is_dir():
        if columns:
            raise Failure("--column is for a table", 2)
        held = SuiteFolder(source)
        return results_of(held.about(), held.open().all())
    unknown = sorted(set(columns) - set(table.NAMES))
    if unknown:
        raise Failure(f"--column {unknown[0]}: it is one of {', '.join(table.NAMES)}", 2)
    return table.read(source, columns)


@suite.command()
@click.argument("source", required=False, type=click.Path(exists=True, path_type=Path))
@suite_places.store
@suite_places.which
@click.option("--column", "columns", multiple=True, callback=pairs, metavar="WHAT=NAME",
              help="Of a table: which column is the optimizer, benchmark (A+B for two together), "
              "setting, seed or value, where it is not seen from its name.")  # fmt: skip
@click.option("--best", is_flag=True, help="Compare the best of the settings, labelled so.")
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05,
              show_default=True, help="What counts as significant.")  # fmt: skip
@click.option("--table", "--csv", "to", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the results there: as Parquet if it ends so, else as CSV.")  # fmt: skip
@guarded
def report(
    source: Path | None,
    url: str | None,
    name: str | None,
    columns: dict[str, str],
    best: bool,
    alpha: float,
    to: Path | None,
) -> None:
    """Statistics of SOURCE: a table of results (CSV, Parquet) or the folder of a suite.

    Without SOURCE, of a suite in --store.
    """
    from nasdsl.report.suite_text import study_text
    from nasdsl.suite import outcome, table
    from nasdsl.suite.statistics.study import study

    if source is None or (source.is_dir() and url is not None):
        about, store = suite_places.opened(source, url, name)
        results = outcome.results_of(about, store.all())
    elif url is not None or name is not None:
        raise click.UsageError("--store and --suite are for suites, not for tables")
    else:
        results = results_of(source, columns)
    if to is not None:
        table.write(results, to)
    click.echo(
        study_text(study(results, summary="best" if best else "mean", alpha=alpha)), nl=False
    )
