"""`validate`: three checks on what a comparison rests on."""

from __future__ import annotations

import json
from pathlib import Path

import click

from nasdsl.cli.boundary import WRONG, Failure, guarded, say, width
from nasdsl.cli.running import pairs
from nasdsl.cli.suites import read_results, results_options

_FORM = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
                     show_default=True, help="How the result is shown.")  # fmt: skip


@click.group()
def validate() -> None:
    """Do groups of benchmarks differ, do recipes do what they say, do splits matter?"""


@validate.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--first", default="wide*", show_default=True, help="Benchmarks by their names.")
@click.option("--second", default="deep*", show_default=True, help="Those they are held against.")
@results_options
@_FORM
@guarded
def groups(
    source: Path,
    first: str,
    second: str,
    columns: dict[str, str],
    measure: str | None,
    best: bool | None,
    alpha: float,
    form: str,
) -> None:
    """Wide benchmarks against deep ones, or any two groups, in SOURCE.

    SOURCE is the folder of a suite or a CSV table of results. Benchmarks are paired by the rest of
    their names. Scores, their spread and the rankings are compared, each with its size, an interval
    and what so many units can show at all.
    """
    from nasdsl.report.groups_text import groups_report, groups_text
    from nasdsl.suite.statistics.groups import compare

    results, summary, _ = read_results(source, columns, measure, best)
    found = compare(results, first, second, summary=summary, alpha=alpha)
    if form == "json":
        click.echo(json.dumps(groups_report(found), indent=1))
    else:
        click.echo(groups_text(found, width()), nl=False)


@validate.command()
@click.argument("rules", nargs=-1)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@_FORM
@guarded
def coupling(rules: tuple[str, ...], seed: int, form: str) -> None:
    """Recipes against monolithic loops: is a tightly coupled step what its method says?

    Each of RULES [default: all] is searched twice from the same seed on a small problem in float64:
    put together from components, and as one plain loop that shares no code with them. Ends with 1
    where trajectories differ.
    """
    from nasdsl.diagnostics.suggest import did_you_mean
    from nasdsl.report.coupling_text import coupling_report, coupling_text
    from nasdsl.training.coupling.rules import RULES, compared

    known = [r.name for r in RULES]
    for name in rules:
        if name not in known:
            raise Failure(f"no rule `{name}`; {did_you_mean(name, known, limit=0)}", 2)
    found = []
    for made in compared(rules, seed=seed):
        say(f"{made.rule.name}: {made.steps} steps, {'same' if made.agree else 'different'}")
        found.append(made)
    if form == "json":
        click.echo(json.dumps(coupling_report(found), indent=1))
    else:
        click.echo(coupling_text(found, width()), nl=False)
    if not all(t.agree for t in found):
        raise SystemExit(WRONG)


@validate.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--column", "columns", multiple=True, callback=pairs, metavar="WHAT=NAME",
              help="Of a CSV: which column is the optimizer, benchmark, value, share, split_seed, "
              "order or family (search or weights).")  # fmt: skip
@click.option("--measure", help="Of a suite: another measure of its runs, as `test.loss`.")
@_FORM
@guarded
def splits(source: Path, columns: dict[str, str], measure: str | None, form: str) -> None:
    """How means and rankings move with the cut of the data in SOURCE.

    SOURCE is the folder of a suite with several splits (`nasdsl suite run split_ratios`), or a CSV
    table with a column for the share of the images that the search has, and one for the seed of the
    split.
    """
    from nasdsl.report.cuts_text import cuts_report, cuts_text
    from nasdsl.suite.cuts import COLUMNS, cuts_of, read
    from nasdsl.suite.folder import SuiteFolder
    from nasdsl.suite.statistics.cuts import cuts
    from nasdsl.suite.table import NAMES, is_lower

    if source.is_dir():
        if columns:
            raise Failure("--column is for a CSV table", 2)
        kept = SuiteFolder(source)
        about = kept.about(measure)
        values, what = cuts_of(kept, about, kept.open().all()), str(about["measure"])
        higher = not is_lower(what)
    else:
        known = {*NAMES, *COLUMNS}
        unknown = sorted(set(columns) - known)
        if unknown:
            raise Failure(f"--column {unknown[0]}: it is one of {', '.join(sorted(known))}", 2)
        values, what, higher = read(source, columns)
    found = cuts(values, measure=what, higher=higher)
    if form == "json":
        click.echo(json.dumps(cuts_report(found), indent=1))
    else:
        click.echo(cuts_text(found, width()), nl=False)
