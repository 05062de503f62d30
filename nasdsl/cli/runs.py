"""`runs`: what lies in run folders, beside each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from nasdsl.cli.boundary import Failure, guarded

_FORM = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
_FOLDERS = click.argument("folders", nargs=-1, type=click.Path(exists=True, path_type=Path))


@click.group()
def runs() -> None:
    """List, show and compare run folders."""


def _show(report: Mapping[str, Any], form: str, text: Callable[[Mapping[str, Any]], str]) -> None:
    if form == "json":
        click.echo(json.dumps(report, indent=1))
    else:
        click.echo(text(report), nl=False)


@runs.command("list")
@_FOLDERS
@_FORM
@guarded
def list_(folders: tuple[Path, ...], form: str) -> None:
    """List the runs in FOLDERS [default: runs]."""
    from nasdsl.report.runs import list_report, list_text

    _show(list_report(folders or (Path("runs"),)), form, list_text)


@runs.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_FORM
@guarded
def show(folder: Path, form: str) -> None:
    """Show one run, as `inspect FOLDER` does."""
    from nasdsl.report.run import run_report, text_of

    _show(run_report(folder), form, text_of)


@runs.command()
@click.argument("a", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("b", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_FORM
@guarded
def diff(a: Path, b: Path, form: str) -> None:
    """What differs between two runs: settings, results, architectures."""
    from nasdsl.report.runs import difference_report, difference_text

    _show(difference_report(a, b), form, difference_text)


@runs.command()
@_FOLDERS
@_FORM
@guarded
def compare(folders: tuple[Path, ...], form: str) -> None:
    """Mean and deviation of results over the seeds of the runs in FOLDERS [default: runs]."""
    from nasdsl.report.runs import compare_report, compare_text

    report = compare_report(folders or (Path("runs"),))
    if not report["groups"]:
        raise Failure("there are no runs", 2)
    _show(report, form, compare_text)
