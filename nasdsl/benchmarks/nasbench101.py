"""NAS-Bench-101, through `nasbench` and the user's tfrecord.

Ying et al., "NAS-Bench-101", ICML 2019, arXiv:1902.09635. Written after google-research/nasbench at
its last commits (2020; no release): `api.NASBench(file)`, `api.ModelSpec(matrix, ops)`,
`get_metrics_from_spec`, `hash_iterator`, `get_metrics_from_hash`. The original needs TensorFlow 1
(`tf.python_io`); any package of the same interface will do. The tfrecord holds JSON and protocol
buffers, which the package reads.

`query` of the package draws one of the three runs at random and counts a budget; it is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasdsl.benchmarks import fit, foreign
from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.benchmarks.record import Record, moments
from nasdsl.ir.genotype import Genotype
from nasdsl.ir.space import Space

NAME = "nasbench101"
FILES = ("nasbench_full.tfrecord", "nasbench_only108.tfrecord")
#: Names of the operations in the benchmark.
OPERATIONS = {
    "conv3x3_bn_relu": "conv3x3-bn-relu",
    "conv1x1_bn_relu": "conv1x1-bn-relu",
    "maxpool3x3": "maxpool3x3",
}
_HASH = re.compile(r"[0-9a-f]{32}")


def dataset_of(space: Space) -> str:
    """`cifar10`. Raises BenchmarkError for a space that is not the tabulated one."""
    return fit.dataset_of(space, NAME, "nasbench101", (("cifar10", "nasbench101", "cifar10"),))


def key_in(text: str) -> str | None:
    """The key, if a text is a hash of the benchmark."""
    return text if _HASH.fullmatch(text) else None


def key_of(genotype: Genotype, space: Space) -> str:
    """`0111…/input,conv3x3-bn-relu,…,output`: the upper-triangular matrix row by row, and the ops.

    Vertices are the cell's input, its nodes and its output. The edges of a node are what was picked
    for it. The package prunes what does not reach the output. Raises BenchmarkError.
    """
    rows = space.rules[0].rows
    table = space.rules[0].table
    nodes = [node for node, _ in rows if node != "out"]
    source = rows[0][1][0].partition("<-")[2]
    states = [source, *nodes, "out"]
    edges: dict[str, set[str]] = {}
    for identity, label in genotype.picks:
        target, arrow, origin = identity.partition("<-")
        if arrow:
            here = edges.setdefault(target.removeprefix(f"{table}/"), set())
            here.add(label if origin == "*" else origin)
    matrix = "".join(
        "1" if origin in edges.get(target, set()) else "0" for origin in states for target in states
    )
    operations = []
    for node in nodes:
        label = fit.one_label(genotype, f"{table}/{node}")
        if label not in OPERATIONS:
            raise BenchmarkError(f"{NAME} has no operation `{label}`")
        operations.append(OPERATIONS[label])
    return f"{matrix}/{','.join(['input', *operations, 'output'])}"


def cell_of(key: str) -> tuple[list[list[int]], list[str]]:
    """Adjacency matrix and operations of a key. Raises BenchmarkError."""
    digits, _, names = key.partition("/")
    operations = names.split(",")
    size = len(operations)
    if len(digits) != size * size or set(digits) - {"0", "1"}:
        raise BenchmarkError(f"`{key}` is no cell of {NAME}")
    return [[int(d) for d in digits[i * size : (i + 1) * size]] for i in range(size)], operations


def opened(given: Path | None) -> Opened:
    """The benchmark's API on the user's data. Raises BenchmarkMissing, BenchmarkError."""
    place = foreign.data(
        given, FILES, f"download {FILES[0]} as https://github.com/google-research/nasbench says"
    )
    module = foreign.package(
        ("nasbench.api",),
        "NASBench",
        "pip install git+https://github.com/google-research/nasbench (needs TensorFlow 1)",
    )
    with foreign.calling(f"loading {place} with nasbench (the original needs TensorFlow 1)"):
        return Opened(module, module.NASBench(str(place)))


@dataclass(frozen=True, slots=True)
class Opened:
    """A loaded benchmark."""

    module: Any
    api: Any

    def record(self, key: str, *, dataset: str, epochs: int | None = None) -> Record:
        """The record of a cell, or of one of the benchmark's hashes. Raises BenchmarkError."""
        with foreign.calling(f"{NAME}: looking up {key}"):
            if key_in(key):
                if key not in self.api.hash_iterator():
                    raise BenchmarkError(f"{NAME} has no hash `{key}`")
                fixed, computed = self.api.get_metrics_from_hash(key)
            else:
                matrix, operations = cell_of(key)
                spec = self.module.ModelSpec(matrix=matrix, ops=operations)
                fixed, computed = self.api.get_metrics_from_spec(spec)
        return _record(key, fixed, computed, dataset, epochs or 108)

    def records(self, *, dataset: str, epochs: int | None = None) -> Iterator[Record]:
        """The records of all 423 624 cells by hash."""
        for key in self.api.hash_iterator():
            with foreign.calling(f"{NAME}: reading {key}"):
                fixed, computed = self.api.get_metrics_from_hash(key)
            yield _record(key, fixed, computed, dataset, epochs or 108)


def _record(
    key: str,
    fixed: Mapping[str, Any],
    computed: Mapping[int, Sequence[Mapping[str, float]]],
    dataset: str,
    epochs: int,
) -> Record:
    if dataset != "cifar10":
        raise BenchmarkError(f"{NAME} has no data set `{dataset}`; it has cifar10")
    if epochs not in computed:
        known = ", ".join(str(e) for e in sorted(computed))
        raise BenchmarkError(f"{NAME} has no training of {epochs} epochs; it has {known}")
    runs = computed[epochs]
    # The benchmark keeps fractions.
    test = tuple(100 * float(r["final_test_accuracy"]) for r in runs)
    valid = tuple(100 * float(r["final_validation_accuracy"]) for r in runs)
    seconds = tuple(float(r["final_training_time"]) for r in runs)
    mean, std = moments(test)
    return Record(
        benchmark=NAME,
        key=key,
        dataset=dataset,
        setting=f"{epochs} epochs",
        test=test,
        mean=mean,
        std=std,
        validation=moments(valid)[0],
        params=int(fixed["trainable_parameters"]),
        train_seconds=moments(seconds)[0],
    )
