"""NAS-Bench-301, through `nasbench301` and the user's surrogate models.

Zela et al., "Surrogate NAS Benchmarks", ICLR 2022, arXiv:2008.09777. Written after nasbench301 0.3:
`load_ensemble(folder)` and `predict(config, representation="genotype", with_noise)`. Its models
were trained on validation accuracies of DARTS networks with 32 channels and 8 cells after 100
epochs on CIFAR-10, so a record is a prediction and has no test accuracy. The package loads the
models, which may be pickles, see `foreign`.

`predict` adds noise unless told not to; here it is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nasdsl.benchmarks import foreign
from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.benchmarks.record import Record
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Space

NAME = "nasbench301"
FOLDERS = ("nb_models_1.0", "nb_models_0.9", "nb_models")
CELLS = ("normal", "reduce")
NODES = 4
OPERATIONS = (
    "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5",
    "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip


class DartsGenotype(NamedTuple):
    """The named tuple of DARTS, which `predict` takes: (operation, state) pairs, two a node."""

    normal: list[tuple[str, int]]
    normal_concat: list[int]
    reduce: list[tuple[str, int]]
    reduce_concat: list[int]


def dataset_of(space: Space) -> str:
    """`cifar10`, for every space with the cells of DARTS. Raises BenchmarkError.

    Channels and number of cells do not count: the benchmark has its own.
    """
    rows = {rules.table: rules.rows for rules in space.rules}
    sizes = [len(edges) for _, edges in rows.get("normal", ())]
    if (
        space.format != "darts"
        or set(rows) != set(CELLS)
        or any([len(edges) for _, edges in r] != [2, 3, 4, 5] for r in rows.values())
    ):
        raise BenchmarkError(
            f"`{space.name}` has other cells than {NAME}: normal and reduce, {NODES} nodes "
            f"(its nodes see {sizes} states)"
        )
    return "cifar10"


def key_of(genotype: Genotype, space: Space) -> str:
    """`normal:op~state,op~state,…/reduce:…`. Raises BenchmarkError."""
    if genotype.outputs:
        raise BenchmarkError(f"in {NAME} all {NODES} nodes go to the output of a cell")
    parts = []
    for name in CELLS:
        rows = next(r.rows for r in space.rules if r.table == name)
        pairs = []
        for node, edges in rows:
            here = [(label, edges.index(i)) for i, label in genotype.picks if i in edges]
            if len(here) != 2 or here[0][1] == here[1][1]:
                raise BenchmarkError(f"`{name}/{node}` needs two edges from different states")
            for label, _ in here:
                if label not in OPERATIONS:
                    raise BenchmarkError(f"{NAME} has no operation `{label}`")
            pairs += [f"{label}~{state}" for label, state in here]
        parts.append(f"{name}:{','.join(pairs)}")
    return "/".join(parts)


def genotype_of(key: str) -> DartsGenotype:
    """The tuple of a key. Raises BenchmarkError."""
    try:
        cells = {
            name: [(op, int(state)) for op, state in (p.split("~") for p in pairs.split(","))]
            for name, pairs in (part.split(":") for part in key.split("/"))
        }
        concat = list(range(2, 2 + NODES))
        return DartsGenotype(cells["normal"], concat, cells["reduce"], concat)
    except (ValueError, KeyError):
        raise BenchmarkError(f"`{key}` is no architecture of {NAME}") from None


def opened(given: Path | None) -> Opened:
    """The surrogates of a folder. Raises BenchmarkMissing, BenchmarkError.

    The folder holds one ensemble for accuracies, as `xgb_v1.0`, and may hold one whose name
    contains `runtime`; it may also be the folder of one ensemble itself.
    """
    place = foreign.data(
        given,
        FOLDERS,
        "download the surrogate models as https://github.com/automl/nasbench301 says and unpack them",
    )
    module = foreign.package(("nasbench301",), "load_ensemble", "pip install nasbench301==0.3")
    accuracy, runtime = _ensembles(place)
    with foreign.calling(f"loading {accuracy} with nasbench301"):
        performance = module.load_ensemble(str(accuracy))
        timing = None if runtime is None else module.load_ensemble(str(runtime))
    return Opened(accuracy.name, performance, timing)


def _ensembles(place: Path) -> tuple[Path, Path | None]:
    folders = sorted(p for p in place.iterdir() if p.is_dir()) if place.is_dir() else []
    named = [p for p in folders if "_v" in p.name]
    if not named:
        return place, None
    accuracy = [p for p in named if "runtime" not in p.name]
    runtime = [p for p in named if "runtime" in p.name]
    preferred = [p for p in accuracy if p.name.startswith("xgb")] or accuracy
    if len(preferred) != 1:
        names = ", ".join(p.name for p in named)
        raise BenchmarkError(f"{place} holds {names}; give the path of one ensemble")
    return preferred[0], runtime[0] if len(runtime) == 1 else None


@dataclass(frozen=True, slots=True)
class Opened:
    """Loaded surrogates."""

    model: str
    performance: Any
    runtime: Any

    def record(self, key: str, *, dataset: str, epochs: int | None = None) -> Record:
        """The prediction for an architecture. Raises BenchmarkError."""
        if dataset != "cifar10":
            raise BenchmarkError(f"{NAME} has no data set `{dataset}`; it has cifar10")
        if epochs not in (None, 100):
            raise BenchmarkError(f"{NAME} predicts trainings of 100 epochs only")
        config = genotype_of(key)
        with foreign.calling(f"{NAME}: predicting {key}"):
            accuracy = float(_predict(self.performance, config))
            seconds = None if self.runtime is None else float(_predict(self.runtime, config))
        return Record(
            benchmark=NAME,
            key=key,
            dataset=dataset,
            setting=f"100 epochs, 32 channels, 8 cells; predicted by {self.model}",
            validation=accuracy,
            train_seconds=seconds,
            predicted=True,
            notes=("a surrogate's mean, without noise; it predicts validation accuracy only",),
        )

    def records(self, *, dataset: str, epochs: int | None = None) -> Iterator[Record]:
        """Raises BenchmarkError: a surrogate has no table."""
        raise BenchmarkError(f"{NAME} is a surrogate for about 1e18 architectures, not a table")


def _predict(model: Any, config: DartsGenotype) -> Any:
    return model.predict(config=config, representation="genotype", with_noise=False)
