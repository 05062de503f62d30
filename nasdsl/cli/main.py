"""The command line. Every command imports what it needs inside its function."""

from __future__ import annotations

import sys

import click

from nasdsl.cli import (
    architectures,
    artifacts,
    inspecting,
    querying,
    reporting,
    retraining,
    running,
    runs,
    suites,
    texts,
    validating,
)
from nasdsl.version import VERSION

EPILOG = """\b
Examples:
  nasdsl run quickstart                      search, retrain, measure
  nasdsl check my_space.nas                  every mistake, with its line
  nasdsl inspect darts                       what a space holds
  nasdsl inspect runs/small-quick-1          what a search found
  nasdsl export runs/small-quick-1           its genotype

\b
Exit codes: 0 fine, 1 something is wrong, 2 usage, 3 not installed or no such
device, 130 stopped (a checkpoint is written).
"""


def _version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "not installed"
    click.echo(f"nasdsl {VERSION} (torch {torch})")
    context.exit()


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "NASDSL",
        "max_content_width": 100,
    },
    epilog=EPILOG,
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
              help="Show versions and exit.")  # fmt: skip
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("-q", "--quiet", is_flag=True, help="No talk, only results.")
def cli(debug: bool, quiet: bool) -> None:
    """Neural architecture search from small checked files."""


for command in (
    texts.check,
    texts.fmt,
    texts.explain,
    artifacts.compile_,
    running.run,
    inspecting.inspect,
    querying.query,
    artifacts.export,
    retraining.retrain,
    runs.runs,
    architectures.sample,
    architectures.diff,
    suites.suite,
    validating.validate,
    reporting.report,
    artifacts.doctor,
):
    cli.add_command(command)


def main() -> None:
    """Entry point: a closed pipe ends quietly."""
    try:
        cli()
    except BrokenPipeError:
        # Whoever read our output has left; do not complain on the way out.
        sys.stderr.close()
        raise SystemExit(0) from None
