"""NAS-Bench-201 and NATS-Bench, through `nats_bench` or `nas_201_api` and the user's file.

Dong and Yang, "NAS-Bench-201", ICLR 2020, arXiv:2001.00326; Dong et al., "NATS-Bench", TPAMI 2021,
arXiv:2009.00437. Written after nats_bench 1.8 and nas-bench-201 2.1, of which it uses `create` or
`NASBench201API`, `query_index_by_arch`, `arch`, `query_meta_info_by_index` and the `ArchResults`
methods `get_dataset_seeds`, `get_metrics`, `get_compute_costs`. The files are pickles: the package
loads them, see `foreign`.

Traps of these packages that are dealt with here: an unknown architecture gives index -1, which
then reads the last row; the default is a training of 12 epochs and a random one of its seeds;
`cifar10` has no validation accuracy, because it was trained on the validation images too. As in
the papers, validation accuracy on cifar10 is that of the training `cifar10-valid`, and test
accuracy that of the training `cifar10`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasdsl.benchmarks import fit, foreign
from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.benchmarks.record import Record, moments
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Space

#: Data set of a record: where its test and validation accuracies were measured.
SETS = {
    "cifar10": (("cifar10", "ori-test"), ("cifar10-valid", "x-valid")),
    "cifar10-valid": (("cifar10-valid", "ori-test"), ("cifar10-valid", "x-valid")),
    "cifar100": (("cifar100", "x-test"), ("cifar100", "x-valid")),
    "ImageNet16-120": (("ImageNet16-120", "x-test"), ("ImageNet16-120", "x-valid")),
}
_SIZES = re.compile(r"\d+(:\d+){4}")
_FLOPS = "multiply-adds of convolutions and the linear layer with its bias"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One of the two spaces: names, files, and the epochs of its full training."""

    name: str
    search_space: str
    files: tuple[str, ...]
    modules: tuple[str, ...]
    full: int


TOPOLOGY = Kind(
    name="nasbench201",
    search_space="tss",
    files=(
        "NATS-tss-v1_0-3ffb9-simple",
        "NATS-tss-v1_0-3ffb9.pickle.pbz2",
        "NAS-Bench-201-v1_1-096897.pth",
        "NAS-Bench-201-v1_0-e61699.pth",
    ),
    modules=("nats_bench", "nas_201_api"),
    full=200,
)
SIZE = Kind(
    name="nats_size",
    search_space="sss",
    files=("NATS-sss-v1_0-50262-simple", "NATS-sss-v1_0-50262.pickle.pbz2"),
    modules=("nats_bench",),
    full=90,
)


def topology_dataset(space: Space) -> str:
    """The data set of a NAS-Bench-201 space. Raises BenchmarkError for another space."""
    return fit.dataset_of(
        space,
        TOPOLOGY.name,
        "nasbench201",
        (
            ("cifar10", "nasbench201", "cifar10"),
            ("cifar100", "nasbench201", "cifar100"),
            ("ImageNet16-120", "nasbench201", "imagenet16_120"),
        ),
    )


def size_dataset(space: Space) -> str:
    """The data set of a NATS size space. Raises BenchmarkError for another space."""
    return fit.dataset_of(
        space,
        SIZE.name,
        "nats_size",
        (
            ("cifar10", "nats_size", "cifar10"),
            ("cifar100", "nats_size", "cifar100"),
            ("ImageNet16-120", "nats_size", "imagenet16_120"),
        ),
    )


def topology_key(genotype: Genotype, space: Space) -> str:
    """`|op~0|+|op~0|op~1|+|…|`, edges of a node in the order of their sources: one text per cell."""
    rows = space.rules[0].rows
    fit.complete(genotype, tuple(i for _, identities in rows for i in identities))
    groups = [
        "|".join(f"{fit.one_label(genotype, e)}~{i}" for i, e in enumerate(edges))
        for _, edges in rows
    ]
    return "+".join(f"|{group}|" for group in groups)


def size_key(genotype: Genotype, space: Space) -> str:
    """`8:16:24:32:40`, the five widths."""
    identities = tuple(d.id for d in space.decisions)
    fit.complete(genotype, identities)
    return ":".join(fit.one_label(genotype, i) for i in identities)


def size_in(text: str) -> str | None:
    """The key, if a text is one of the size space."""
    return text if _SIZES.fullmatch(text) else None


def opened(kind: Kind, given: Path | None) -> Opened:
    """The benchmark's API on the user's data. Raises BenchmarkMissing, BenchmarkError."""
    place = foreign.data(
        given,
        kind.files,
        f"download {kind.files[0]}.tar as https://github.com/D-X-Y/NATS-Bench says and unpack it",
    )
    old = place.suffix == ".pth"
    if old and "nas_201_api" not in kind.modules:
        raise BenchmarkError(f"{place} is no file of {kind.name}: {', '.join(kind.files)}")
    if old:
        module = foreign.package(
            ("nas_201_api",), "NASBench201API", "pip install nas-bench-201==2.1"
        )
        with foreign.calling(f"loading {place} with nas_201_api"):
            return Opened(kind, module.NASBench201API(str(place), verbose=False))
    module = foreign.package(("nats_bench",), "create", "pip install nats_bench==1.8")
    with foreign.calling(f"loading {place} with nats_bench"):
        api = module.create(str(place), kind.search_space, fast_mode=place.is_dir(), verbose=False)
        return Opened(kind, api)


@dataclass(frozen=True, slots=True)
class Opened:
    """A loaded benchmark."""

    kind: Kind
    api: Any

    def record(self, key: str, *, dataset: str, epochs: int | None = None) -> Record:
        """The record of an architecture. Raises BenchmarkError."""
        with foreign.calling(f"{self.kind.name}: looking up {key}"):
            index = self.api.query_index_by_arch(key)
        if not isinstance(index, int) or index < 0:
            raise BenchmarkError(f"{self.kind.name} has no architecture `{key}`")
        return self._record(index, key, dataset, epochs or self.kind.full)

    def records(self, *, dataset: str, epochs: int | None = None) -> Iterator[Record]:
        """The records of all architectures, in the benchmark's order."""
        for index in range(len(self.api)):
            yield self._record(index, self.api.arch(index), dataset, epochs or self.kind.full)

    def _record(self, index: int, key: str, dataset: str, epochs: int) -> Record:
        if dataset not in SETS:
            raise BenchmarkError(
                f"{self.kind.name} has no data set `{dataset}`; it has {', '.join(SETS)}"
            )
        (trained, test_set), (trained_valid, valid_set) = SETS[dataset]
        with foreign.calling(f"{self.kind.name}: reading {key} at {epochs} epochs"):
            info = self.api.query_meta_info_by_index(index, hp=f"{epochs:02d}")
            seeds = tuple(int(s) for s in info.get_dataset_seeds(trained))
            test = tuple(_accuracy(info, trained, test_set, s) for s in seeds)
            valid_seeds = info.get_dataset_seeds(trained_valid)
            valid = tuple(_accuracy(info, trained_valid, valid_set, int(s)) for s in valid_seeds)
            costs = dict(info.get_compute_costs(trained))
        mean, std = moments(test)
        seconds = costs.get("T-train@total")
        notes: tuple[str, ...] = ()
        if trained != trained_valid:
            notes = (
                f"validation is of networks trained on half the images ({trained_valid}, "
                f"{len(valid)} runs), test of networks trained on all of them",
            )
        return Record(
            benchmark=self.kind.name,
            key=key,
            dataset=dataset,
            setting=f"{epochs} epoch{'s' * (epochs != 1)}",
            test=test,
            mean=mean,
            std=std,
            validation=moments(valid)[0],
            params=round(float(costs["params"]) * 1e6),
            flops=round(float(costs["flops"]) * 1e6),
            flops_unit=_FLOPS,
            train_seconds=None if seconds is None else float(seconds),
            seeds=seeds,
            notes=notes,
        )


def _accuracy(info: Any, trained: str, measured: str, seed: int) -> float:
    """Percent after the last epoch, of one training run."""
    return float(info.get_metrics(trained, measured, iepoch=None, is_random=seed)["accuracy"])
