"""`report`: a run, a suite or a table of results as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasdsl.cli.boundary import Failure, guarded, say
from nasdsl.cli.running import pairs

if TYPE_CHECKING:
    from nasdsl.suite.statistics.results import Summary


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True,
              help="The HTML file.")  # fmt: skip
@click.option("--column", "columns", multiple=True, callback=pairs, metavar="WHAT=NAME",
              help="Of a CSV: as `suite report`.")  # fmt: skip
@click.option("--best", is_flag=True, help="Compare the best of the settings, labelled so.")
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05,
              show_default=True, help="What counts as significant.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite --out.")
@guarded
def report(
    source: Path, out: Path, columns: dict[str, str], best: bool, alpha: float, force: bool
) -> None:
    """Write the report of SOURCE: a run folder, the folder of a suite, or a CSV of results.

    The file needs nothing else: no network, no script.
    """
    from nasdsl import disk
    from nasdsl.cli.suites import results_of
    from nasdsl.report.html.run_page import run_page
    from nasdsl.report.html.suite_page import results_page, suite_page
    from nasdsl.suite.folder import SuiteFolder, is_suite

    if out.exists() and not force:
        raise Failure(f"{out} exists; --force overwrites", 2)
    summary: Summary = "best" if best else "mean"
    if source.is_file():
        results = results_of(source, columns)
        text = results_page(results, source, summary=summary, alpha=alpha)
    elif is_suite(source):
        text = suite_page(SuiteFolder(source), summary=summary, alpha=alpha)
    else:
        text = run_page(source)
    disk.write_text(out, text)
    say(f"wrote {out}")
