"""`query`: what a benchmark knows of an architecture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from nasdsl.cli import given, plugged
from nasdsl.cli.boundary import Failure, guarded, width
from nasdsl.cli.running import pairs


@click.command()
@click.argument("source", metavar="SPACE")
@click.argument("genotype", required=False)
@click.option("-P", "parameters", multiple=True, callback=pairs, metavar="NAME=VALUE",
              help="Parameter of the space.")  # fmt: skip
@click.option("--benchmark", help="Benchmark [default: the one that holds the space].")
@click.option("--dataset", help="The benchmark's data set [default: that of the space].")
@click.option("--epochs", type=click.IntRange(1), help="Its training [default: the full one].")
@click.option("--data", type=click.Path(path_type=Path),
              help="Its file or folder [default: under $NASDSL_BENCHMARKS].")  # fmt: skip
@click.option("--rank/--no-rank", default=None,
              help="Place in the whole table [default: if the table comes with nasdsl].")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True)  # fmt: skip
@plugged.option
@guarded
def query(
    source: str,
    genotype: str | None,
    parameters: dict[str, str],
    benchmark: str | None,
    dataset: str | None,
    epochs: int | None,
    data: Path | None,
    rank: bool | None,
    form: str,
) -> None:
    """Look GENOTYPE of SPACE up in a benchmark.

    \b
    GENOTYPE is a text, a file, `-`, or the benchmark's own name of it
    (nasdsl query nasbench_macro 22212220). SPACE may be a run folder; then the
    architecture it found is looked up.

    \b
    nasbench_macro comes with nasdsl. nasbench201, nats_size, nasbench101,
    nasbench301 and transnas101 need their own packages and data; nothing is
    downloaded. Most of that data are pickles, which their packages load and
    which can run any code: use files you trust.
    """
    from nasdsl.benchmarks import catalogue
    from nasdsl.benchmarks.standing import standing
    from nasdsl.report.benchmark import benchmark_lines, benchmark_report

    space, key_or_genotype = _read(source, genotype, parameters)
    chosen, own = catalogue.of_space(space, benchmark)
    if isinstance(key_or_genotype, str):
        key = chosen.key_in(key_or_genotype) or _parsed(chosen, key_or_genotype, space)
    else:
        key = chosen.key_of(key_or_genotype, space)
    opened = chosen.opened(data)
    record = opened.record(key, dataset=dataset or own, epochs=epochs)
    place = None
    if rank if rank is not None else chosen.built_in:
        place = standing(record, opened.records(dataset=dataset or own, epochs=epochs))
    report = benchmark_report(record, place)
    if form == "json":
        click.echo(json.dumps(report, indent=1))
    else:
        click.echo("\n".join(benchmark_lines(report, width())))


def _read(source: str, genotype: str | None, parameters: dict[str, str]) -> tuple[Any, Any]:
    """The space, and the genotype of a run or the text that was given."""
    if (Path(source) / "run.json").is_file():
        from nasdsl.ir.genotype import loads
        from nasdsl.training.archive import reopen
        from nasdsl.training.record import RunFolder

        folder = RunFolder(Path(source))
        space = reopen(folder).space()
        if genotype is not None:
            return space, given.text_of(genotype).strip()
        if not folder.has("genotype.json"):
            raise Failure(f"{source} has no genotype yet; go on with: nasdsl run {source} --resume")
        return space, loads(json.dumps(folder.read("genotype.json")))
    from nasdsl import driver

    if genotype is None:
        raise Failure("GENOTYPE is missing: a text, a file, or - for standard input", 2)
    loaded = plugged.load(source)
    name = source if loaded.program.find("space", source) else None
    return driver.space(loaded, name, parameters), given.text_of(genotype).strip()


def _parsed(chosen: Any, text: str, space: Any) -> str:
    from nasdsl.ir.formats import forms

    key: str = chosen.key_of(forms.parse(text, space), space)
    return key
