"""`sample` and `diff`: architectures of a space, drawn and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from nasdsl.cli import given, plugged
from nasdsl.cli.boundary import Failure, guarded, is_file
from nasdsl.cli.running import pairs

#: How many draws in a row may bring nothing new before `--unique` gives up.
PATIENCE = 2_000


@click.command()
@click.argument("source", metavar="SPACE")
@click.option("-n", "number", type=click.IntRange(1, 1_000_000), default=1, show_default=True,
              help="How many.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--format", "form", default="auto", show_default=True, metavar="FORMAT",
              help="A genotype format of the space, `nas` (a line of JSON each), or `json`.")  # fmt: skip
@click.option("--unique", is_flag=True, help="No two that are the same network.")
@click.option("--notion", type=click.Choice(["network", "function", "zero", "skip"]),
              default="network", show_default=True, help="What --unique takes as the same.")  # fmt: skip
@click.option("--require", "conditions", multiple=True, metavar="CONDITION",
              help="A further requirement: 'params <= 1M'.")  # fmt: skip
@click.option("--tries", type=click.IntRange(1), default=1_000, show_default=True,
              help="Draws for each, where something is required.")  # fmt: skip
@click.option("--space", "name", help="Space of the file.")
@click.option("-P", "parameters", multiple=True, callback=pairs, metavar="NAME=VALUE",
              help="Parameter of the space.")  # fmt: skip
@plugged.option
@guarded
def sample(
    source: str,
    number: int,
    seed: int,
    form: str,
    unique: bool,
    notion: str,
    conditions: tuple[str, ...],
    tries: int,
    name: str | None,
    parameters: dict[str, str],
) -> None:
    """Draw random architectures of SPACE, equally likely among those that meet its requirements."""
    import random

    from nasdsl import driver
    from nasdsl.ir.limits import Limits
    from nasdsl.ir.sampling import sample as draw
    from nasdsl.ir.sampling import sample_within

    loaded = plugged.load(source)
    space = driver.space(loaded, name, parameters)
    further = tuple(driver.requirement(loaded, c, name, parameters) for c in conditions)
    limits = Limits(space, driver.targets(loaded, name, parameters), further)
    rng = random.Random(seed)

    def drawn() -> Iterator[Any]:
        while True:
            yield (
                sample_within(limits, rng, tries=tries) if limits.requirements else draw(space, rng)
            )

    if form == "json":
        made = list(_some(drawn(), space, number, notion if unique else None))
        click.echo(json.dumps(_report(made, space, seed, notion), indent=1))
        return
    for genotype in _some(drawn(), space, number, notion if unique else None):
        click.echo(_line(genotype, space, form))


def _some(drawn: Iterator[Any], space: Any, number: int, notion: str | None) -> Iterator[Any]:
    """The first of a stream, or the first that are not the same as one before."""
    from itertools import islice

    from nasdsl.ir.canonical import Canonical

    if notion is None:
        yield from islice(drawn, number)
        return
    identity = Canonical(space, notion)
    seen: set[str] = set()
    repeats = 0
    for genotype in drawn:
        found = identity(genotype)
        if found not in seen:
            seen.add(found)
            repeats = 0
            yield genotype
        elif (repeats := repeats + 1) >= PATIENCE:
            raise Failure(
                f"`{space.name}` seems to have no more than {len(seen)} different architectures: "
                f"{PATIENCE:,} draws in a row brought nothing new"
            )
        if len(seen) == number:
            return


def _line(genotype: Any, space: Any, form: str) -> str:
    """A genotype on one line."""
    from nasdsl.ir.formats import forms

    if form == "auto":
        return forms.native(genotype, space) or json.dumps(genotype.as_json())
    if form == "nas":
        return json.dumps(genotype.as_json())
    return forms.dumps(genotype, space, form).strip()


def _report(made: list[Any], space: Any, seed: int, notion: str) -> dict[str, Any]:
    from nasdsl.ir.canonical import Canonical
    from nasdsl.ir.printer import digest

    identity = Canonical(space, notion)
    return {
        "schema": 1,
        "space": space.name,
        "digest": digest(space),
        "seed": seed,
        "notion": notion,
        "architectures": [
            {
                "text": _line(genotype, space, "auto"),
                "identity": identity(genotype),
                "genotype": genotype.as_json(),
            }
            for genotype in made
        ],
    }


# ---- diff


@click.command()
@click.argument("source", metavar="SPACE")
@click.argument("a")
@click.argument("b")
@click.option("--space", "name", help="Space of the file.")
@click.option("-P", "parameters", multiple=True, callback=pairs, metavar="NAME=VALUE",
              help="Parameter of the space.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True)  # fmt: skip
@plugged.option
@guarded
def diff(
    source: str, a: str, b: str, name: str | None, parameters: dict[str, str], form: str
) -> None:
    """Compare two architectures A and B of SPACE: genotypes as texts, files, run folders or `-`."""
    from nasdsl import driver
    from nasdsl.report.difference import difference_report, difference_text

    loaded = plugged.load(source)
    space = driver.space(loaded, name, parameters)
    if a == b == "-":
        raise Failure("only one of the two comes from stdin", 2)
    report = difference_report(_genotype(a, space), _genotype(b, space), space)
    if form == "json":
        click.echo(json.dumps(report, indent=1))
    else:
        click.echo(difference_text(report), nl=False)


def _genotype(text: str, space: Any) -> Any:
    """A genotype of a space, from a run folder, a file, stdin or as it stands."""
    from nasdsl.ir.formats import forms

    if is_file(Path(text) / "run.json"):
        place = Path(text) / "genotype.json"
        if not is_file(place):
            raise Failure(f"{text} has no genotype yet; go on with: nasdsl run {text} --resume")
        return forms.parse(place.read_text(encoding="utf-8"), space)
    return forms.parse(given.text_of(text), space)
