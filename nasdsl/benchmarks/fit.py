"""Is a space the one a benchmark tabulated?"""

from __future__ import annotations

from dataclasses import replace

from nasdsl import driver
from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.printer import print_space
from nasdsl.ir.space import Space


def dataset_of(
    space: Space, benchmark: str, form: str, tabulated: tuple[tuple[str, str, str], ...]
) -> str:
    """The benchmark's data set that a space stands for.

    `form` is the genotype format of the benchmark's spaces; others are told apart by it without
    compiling anything. A row of `tabulated` is the benchmark's data set, a bundled space, and its parameter `data`;
    other parameters stand as bundled. Decisions and target network have to be the same. Names and
    the supernet do not count: a space that extends the bundled one and is searched in a smaller
    supernet is the same. Raises BenchmarkError that says what differs.
    """
    given = dict(space.parameters)
    for dataset, name, data in tabulated:
        if space.format != form or given.get("data", data) != data:
            continue
        own = driver.space(driver.load(name), name, {"data": data})
        if structure(space) == structure(own):
            return dataset
        differing = [
            f"{k} = {given[k]}, not {v}" for k, v in own.parameters if given.get(k, v) != v
        ]
        if space.name == name and differing:
            raise BenchmarkError(
                f"{benchmark} holds `{name}` as it is bundled; here {', '.join(differing)}"
            )
    has = ", ".join(f"`{name}` on {data}" for _, name, data in tabulated)
    on = f" on {given['data']}" if "data" in given else ""
    raise BenchmarkError(f"`{space.name}`{on} is not in {benchmark}, which holds {has}")


def structure(space: Space) -> str:
    """Decisions and target network of a space as text, without its names."""
    target = replace(space.target, name="net")
    return print_space(replace(space, name="space", parameters=(), supernet=target, target=target))


def one_label(genotype: Genotype, identity: str) -> str:
    """The only label of a decision. Raises BenchmarkError."""
    labels = genotype.of(identity)
    if len(labels) != 1:
        raise BenchmarkError(f"`{identity}` has {len(labels)} picks; one is wanted")
    return labels[0]


def complete(genotype: Genotype, identities: tuple[str, ...]) -> None:
    """Raise BenchmarkError where a genotype decides something these decisions do not know."""
    for identity, _ in genotype.picks:
        if identity not in identities:
            raise BenchmarkError(f"the benchmark has no decision `{identity}`")
    if genotype.outputs:
        raise BenchmarkError("the benchmark has no architectures with other cell outputs")
