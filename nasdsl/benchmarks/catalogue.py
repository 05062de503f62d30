"""All benchmarks under one interface: which one a space belongs to, and its records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from nasdsl.benchmarks import macro, nasbench101, nasbench301, nats, transnas101
from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.benchmarks.record import Record
from nasdsl.benchmarks.standing import Standing, standing
from nasdsl.diagnostics.suggest import did_you_mean
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Space


class Opened(Protocol):
    """A benchmark whose data is loaded."""

    def record(self, key: str, *, dataset: str, epochs: int | None = None) -> Record:
        """What is known of an architecture. Raises BenchmarkError; nothing is made up."""

    def records(self, *, dataset: str, epochs: int | None = None) -> Iterator[Record]:
        """The whole table. Raises BenchmarkError where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A benchmark before its data is loaded.

    `spaces` are the bundled spaces it holds. `dataset_of` gives the data set a space stands for and raises BenchmarkError for a space the
    benchmark does not hold; `key_of` the benchmark's name of an architecture; `key_in` a text that
    is such a name already; `opened` loads the data of a path, or from where it is expected.
    """

    name: str
    what: str
    spaces: tuple[str, ...]
    built_in: bool
    dataset_of: Callable[[Space], str]
    key_of: Callable[[Genotype, Space], str]
    key_in: Callable[[str], str | None]
    opened: Callable[[Path | None], Opened]


def _no_key(text: str) -> str | None:
    return None


BENCHMARKS = (
    Benchmark(
        name=macro.NAME,
        what="6 561 networks on CIFAR-10; comes with nasdsl",
        spaces=("nasbench_macro",),
        built_in=True,
        dataset_of=macro.dataset_of,
        key_of=macro.key_of,
        key_in=macro.key_in,
        opened=macro.opened,
    ),
    Benchmark(
        name=nats.TOPOLOGY.name,
        what="15 625 cells on three data sets; nats_bench or nas_201_api",
        spaces=("nasbench201",),
        built_in=False,
        dataset_of=nats.topology_dataset,
        key_of=nats.topology_key,
        key_in=_no_key,
        opened=partial(nats.opened, nats.TOPOLOGY),
    ),
    Benchmark(
        name=nats.SIZE.name,
        what="32 768 widths on three data sets; nats_bench",
        spaces=("nats_size",),
        built_in=False,
        dataset_of=nats.size_dataset,
        key_of=nats.size_key,
        key_in=nats.size_in,
        opened=partial(nats.opened, nats.SIZE),
    ),
    Benchmark(
        name=nasbench101.NAME,
        what="423 624 cells on CIFAR-10; nasbench",
        spaces=("nasbench101",),
        built_in=False,
        dataset_of=nasbench101.dataset_of,
        key_of=nasbench101.key_of,
        key_in=nasbench101.key_in,
        opened=nasbench101.opened,
    ),
    Benchmark(
        name=nasbench301.NAME,
        what="a surrogate for the DARTS cells on CIFAR-10; nasbench301",
        spaces=("darts",),
        built_in=False,
        dataset_of=nasbench301.dataset_of,
        key_of=nasbench301.key_of,
        key_in=_no_key,
        opened=nasbench301.opened,
    ),
    Benchmark(
        name=transnas101.NAME,
        what="4 096 cells on seven tasks; TransNASBenchAPI",
        spaces=tuple(dict.fromkeys(row[1] for row in transnas101.TABULATED)),
        built_in=False,
        dataset_of=transnas101.dataset_of,
        key_of=transnas101.key_of,
        key_in=transnas101.key_in,
        opened=transnas101.opened,
    ),
)


def named(name: str) -> Benchmark:
    """A benchmark by name. Raises BenchmarkError."""
    for benchmark in BENCHMARKS:
        if benchmark.name == name:
            return benchmark
    names = [b.name for b in BENCHMARKS]
    advice = did_you_mean(name, names)
    raise BenchmarkError(
        f"there is no benchmark `{name}`" + (f"; {advice}" if advice else f": {', '.join(names)}")
    )


def of_space(space: Space, name: str | None = None) -> tuple[Benchmark, str]:
    """The benchmark of a space (or the named one) and the data set the space stands for.

    Raises BenchmarkError: with the reason of the named benchmark, or of the one that holds a space
    of this name.
    """
    if name is not None:
        benchmark = named(name)
        return benchmark, benchmark.dataset_of(space)
    reason = f"no benchmark holds `{space.name}`; there are " + ", ".join(
        b.name for b in BENCHMARKS
    )
    for benchmark in BENCHMARKS:
        try:
            return benchmark, benchmark.dataset_of(space)
        except BenchmarkError as error:
            if space.name in benchmark.spaces:
                reason = str(error)
    raise BenchmarkError(reason)


def query(
    space: Space,
    genotype: Genotype | str,
    *,
    benchmark: str | None = None,
    dataset: str | None = None,
    epochs: int | None = None,
    data: Path | None = None,
) -> Record:
    """What a benchmark knows of an architecture of a space.

    `genotype` may be the benchmark's own name of it. `dataset` is one of the benchmark's, by
    default that of the space; `epochs` one of its trainings, by default the full one; `data` the
    path of its file. Raises BenchmarkError, BenchmarkMissing. For many queries, open the benchmark
    once (`of_space(space)[0].opened(data)`, or `macro.table(space)`).
    """
    chosen, own = of_space(space, benchmark)
    key = genotype if isinstance(genotype, str) else chosen.key_of(genotype, space)
    return chosen.opened(data).record(key, dataset=dataset or own, epochs=epochs)


def built_in(space: Space, genotype: Genotype) -> tuple[Record, Standing] | None:
    """What a benchmark that comes with nasdsl knows of an architecture; None if nothing."""
    try:
        chosen, dataset = of_space(space, macro.NAME)
        opened = chosen.opened(None)
        record = opened.record(chosen.key_of(genotype, space), dataset=dataset)
    except BenchmarkError:
        return None
    return record, standing(record, opened.records(dataset=dataset))
