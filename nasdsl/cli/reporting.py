"""`report`: a run, a suite or a table of results as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasdsl.cli import suite_places
from nasdsl.cli.boundary import Failure, guarded, say, warn
from nasdsl.cli.suites import read_results, results_options

if TYPE_CHECKING:
    from nasdsl.report.html.parts import Page


@click.command()
@click.argument("source", required=False, type=click.Path(exists=True, path_type=Path))
@suite_places.store
@suite_places.which
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False),
              help="The HTML file.")  # fmt: skip
@click.option("--plots", type=click.Path(path_type=Path, file_okay=False),
              help="A folder: every chart, drawing and table as SVG, CSV and PNG.")  # fmt: skip
@results_options
@click.option("--force", is_flag=True, help="Overwrite --out.")
@guarded
def report(
    source: Path | None,
    url: str | None,
    name: str | None,
    out: Path | None,
    plots: Path | None,
    columns: dict[str, str],
    measure: str | None,
    best: bool | None,
    alpha: float,
    force: bool,
) -> None:
    """Write the report of SOURCE: a run folder, the folder of a suite, or a CSV of results.

    Without SOURCE, of a suite in --store: its results, without the runs. The file needs nothing
    else: no network, no script. --plots writes what is drawn in it as files of their own (PNG by
    the extra `png`).
    """
    from nasdsl import disk
    from nasdsl.report.html.run_page import run_page
    from nasdsl.report.html.suite_page import results_page, suite_page
    from nasdsl.suite.folder import SuiteFolder, is_suite, measured

    if out is None and plots is None:
        raise Failure("say what to write: -o FILE.html, --plots FOLDER, or both", 2)
    if out is not None and out.exists() and not force:
        raise Failure(f"{out} exists; --force overwrites", 2)
    if plots is not None and plots.exists() and any(plots.iterdir()) and not force:
        raise Failure(f"{plots} is not empty; --force writes into it", 2)
    if source is not None and source.is_file():
        results, summary, _ = read_results(source, columns, measure, best, url=url, name=name)
        page = results_page(results, source, summary=summary, alpha=alpha)
    elif columns:
        raise Failure("--column is for a table", 2)
    elif source is None or is_suite(source):
        about, store = suite_places.opened(source, url, name)
        about, stored = measured(about, measure), store.all()
        store.close()
        folder = SuiteFolder(source) if source is not None else None
        page = suite_page(about, stored, folder=folder, best=best, alpha=alpha)
    elif url is not None or name is not None:
        raise click.UsageError("--store and --suite are for suites, not for runs")
    else:
        page = run_page(source)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        disk.write(out, page.html.encode())
        say(f"wrote {out}")
    if plots is not None:
        _write_plots(page, plots)


def _write_plots(page: Page, folder: Path) -> None:
    """Charts as files; without PNG, and saying so, where it cannot be made."""
    from nasdsl.report.html.plots import write_plots
    from nasdsl.report.png import PngMissing, renderer

    try:
        png = renderer()
    except PngMissing as missing:
        warn(f"no PNG files: {missing}")
        png = None
    written = write_plots(page, folder, png)
    say(f"wrote {len(written)} files into {folder}")
