"""`suite`: plan, run, status, report."""

from __future__ import annotations

from pathlib import Path

import click

from nasdsl.cli.boundary import Failure, guarded
from nasdsl.cli.running import pairs


@click.group()
def suite() -> None:
    """Run spaces x recipes x data x seeds, and say what the results show."""


@suite.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--column", "columns", multiple=True, callback=pairs, metavar="WHAT=NAME",
              help="Of a CSV: which column is the optimizer, benchmark (A+B for two together), "
              "setting, seed or value, where it is not seen from its name.")  # fmt: skip
@click.option("--best", is_flag=True, help="Compare the best of the settings, labelled so.")
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05,
              show_default=True, help="What counts as significant.")  # fmt: skip
@click.option("--csv", "csv", type=click.Path(path_type=Path), help="Write the results there.")
@guarded
def report(
    source: Path, columns: dict[str, str], best: bool, alpha: float, csv: Path | None
) -> None:
    """Statistics of SOURCE, a CSV table of results or the folder of a suite."""
    from nasdsl.report.suite_text import study_text
    from nasdsl.suite import table
    from nasdsl.suite.statistics.study import study

    if source.is_dir():
        raise Failure(f"{source} is a folder; this takes a CSV table", 2)
    unknown = sorted(set(columns) - set(table.NAMES))
    if unknown:
        raise Failure(f"--column {unknown[0]}: it is one of {', '.join(table.NAMES)}", 2)
    results = table.read(source, columns)
    if csv is not None:
        table.write(results, csv)
    click.echo(
        study_text(study(results, summary="best" if best else "mean", alpha=alpha)), nl=False
    )
