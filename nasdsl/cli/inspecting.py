"""`inspect`: a space, a run, a genotype."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from nasdsl.cli import given, plugged
from nasdsl.cli.boundary import Failure, guarded, is_file
from nasdsl.cli.running import pairs

#: Lists the published architectures.
PUBLISHED = "published"

_VIEWS = ("summary", "resolved", "ir", "code", "dot", "mermaid", "svg")


@click.command()
@click.argument("target")
@click.option("--space", help="Space of the file, or the one a genotype belongs to.")
@click.option("-P", "parameters", multiple=True, callback=pairs, metavar="NAME=VALUE",
              help="Parameter of the space.")  # fmt: skip
@click.option("--as", "view", type=click.Choice(_VIEWS), default="summary", show_default=True,
              help="What of a space is shown.")  # fmt: skip
@click.option("--cell", help="The cell that is drawn, or `stages` [default: the first cell].")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True)  # fmt: skip
@plugged.option
@guarded
def inspect(
    target: str,
    space: str | None,
    parameters: dict[str, str],
    view: str,
    cell: str | None,
    form: str,
) -> None:
    """Show TARGET: a space (file or bundled name), a run folder, or an architecture.

    An architecture is a text in a form of its space (--space), a file with one, or the name of a
    published one; `nasdsl inspect published` lists their names.
    """
    if is_file(Path(target) / "run.json"):
        _run(Path(target), view, cell, form)
        return
    if target == PUBLISHED and not Path(target).exists():
        _published(form)
        return
    home = given.space_of(target)
    if home is not None:
        _genotype(target, space or home, parameters, view, cell, form)
    elif given.is_architecture(target, with_space=space is not None):
        if space is None:
            raise Failure("--space says which space the genotype belongs to", 2)
        _genotype(target, space, parameters, view, cell, form)
    else:
        _space(target, space, parameters, view, cell, form)


def _space(
    target: str,
    name: str | None,
    parameters: dict[str, str],
    view: str,
    cell: str | None,
    form: str,
) -> None:
    from nasdsl import driver

    try:
        loaded = plugged.load(target)
    except driver.UnknownName as error:
        from nasdsl.ir import published

        advice = published.near(target)
        if advice is None or "did you mean" in str(error):
            raise
        raise Failure(
            f"there is no file, bundled space or published architecture `{target}`; {advice}", 2
        ) from None
    if name is None and not loaded.program.names("space"):
        _others(loaded, target, view, form)
        return
    if name is None and loaded.program.find("space", target) is not None:
        name = target
    chosen = driver.main_space(loaded, name)
    if view == "resolved":
        from nasdsl.report.resolved import resolved

        click.echo(resolved(loaded, "space", chosen), nl=False)
        return
    _show(driver.space(loaded, chosen, parameters), view, cell, form)


def _others(loaded: Any, target: str, view: str, form: str) -> None:
    """A file without a space, or a bundled recipe, data set, …: its definitions, resolved."""
    from nasdsl.report.resolved import resolved

    shown = []
    for kind in ("recipe", "dataset", "split", "train", "suite"):
        names = loaded.program.names(kind)
        for name in (target,) if target in names else names:
            shown.append((kind, name))
        if target in names:
            shown = [(kind, target)]
            break
    if form == "json":
        click.echo(json.dumps({"schema": 1, "definitions": [list(s) for s in shown]}, indent=1))
        return
    for kind, name in shown:
        click.echo(resolved(loaded, kind, name))


def _show(space: Any, view: str, cell: str | None, form: str) -> None:
    match view:
        case "summary":
            from nasdsl.report.space import space_report, space_text

            if form == "json":
                click.echo(json.dumps(space_report(space), indent=1))
            else:
                click.echo(space_text(space), nl=False)
        case "ir":
            from nasdsl.ir.printer import print_space

            click.echo(print_space(space), nl=False)
        case "code":
            from nasdsl.codegen.supernet import Supernet

            click.echo(Supernet(space).code, nl=False)
        case "resolved":
            raise Failure("a run shows its sources in sources.json", 2)
        case _:
            from nasdsl.report.draw import drawing

            click.echo(drawing(space, view, cell), nl=False)


def _genotype(
    target: str, space: str, parameters: dict[str, str], view: str, cell: str | None, form: str
) -> None:
    from nasdsl import driver
    from nasdsl.ir.formats import forms

    loaded = plugged.load(space)
    name = space if loaded.program.find("space", space) else None
    made = driver.space(loaded, name, parameters)
    genotype = forms.parse(given.text_of(target), made)
    made = driver.space(loaded, name, parameters, genotype=genotype)
    _show_genotype(genotype, made, view, cell, form)


def _show_genotype(genotype: Any, space: Any, view: str, cell: str | None, form: str) -> None:
    if view in ("dot", "mermaid", "svg"):
        from nasdsl.report.draw import drawing

        click.echo(drawing(space, view, cell, resolved=True, genotype=genotype), nl=False)
        return
    if view == "code":
        from nasdsl.codegen.discrete import Discrete

        click.echo(Discrete(space.target).code, nl=False)
        return
    from nasdsl.report.genotype import genotype_report, genotype_text

    if form == "json":
        click.echo(json.dumps(genotype_report(genotype, space), indent=1))
    else:
        click.echo(genotype_text(genotype, space), nl=False)


def _published(form: str) -> None:
    from nasdsl.report.published import published_report, published_text

    if form == "json":
        click.echo(json.dumps(published_report(), indent=1))
    else:
        click.echo(published_text(), nl=False)


def _run(path: Path, view: str, cell: str | None, form: str) -> None:
    from nasdsl.report.run import run_report, run_text
    from nasdsl.training.record import RunFolder

    folder = RunFolder(path)
    if view != "summary":
        from nasdsl.ir.genotype import loads
        from nasdsl.training.archive import reopen

        plan = reopen(folder)
        if folder.has("genotype.json"):
            genotype = loads(json.dumps(folder.read("genotype.json")))
            _show_genotype(genotype, plan.space(genotype), view, cell, form)
        else:
            _show(plan.space(), view, cell, form)
        return
    if form == "json":
        click.echo(json.dumps(run_report(path), indent=1))
    else:
        click.echo(run_text(path), nl=False)
