"""TransNAS-Bench-101 (cells), through its `TransNASBenchAPI` and the user's file.

Duan et al., "TransNAS-Bench-101", CVPR 2021, arXiv:2105.11871. Written after the `api` folder of
yawen-d/TransNASBench (main, 2021; no release): `all_arch_dict`, `task_list`, `metrics_dict`,
`get_model_info`, `get_single_metric(arch, task, metric, mode)`. The file is a pickle that the
package gives to `torch.load`, see `foreign`.

`mode="best"`, the package's default, takes the best epoch of whatever metric is asked for, test
metrics too; here every number is of the last epoch. There is one training per network and task.
Its `time_elapsed` is left out: whether it is of an epoch or in total is not written down.
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

NAME = "transnas101"
FILES = ("transnas-bench_v10141024.pth",)
#: What a task is judged by: name in the API, our name, unit. All grow with quality.
METRICS = (
    ("top1", "accuracy", "percent"),
    ("mIoU", "mIoU", "percent"),
    ("ssim", "SSIM", "1"),
    ("neg_loss", "negative loss", "1"),
)
TABULATED = (
    ("class_scene", "tnb101_micro", "taskonomy_scene"),
    ("class_object", "tnb101_micro", "taskonomy_object"),
    ("segmentsemantic", "tnb101_segment", "taskonomy_segment"),
    ("normal", "tnb101_normal", "taskonomy_normal"),
    ("jigsaw", "tnb101_jigsaw", "taskonomy_jigsaw"),
)
_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
_SKELETON = "64-41414-"
_KEY = re.compile(r"64-41414-[0-3]_[0-3]{2}_[0-3]{3}")


def dataset_of(space: Space) -> str:
    """The task of a space. Raises BenchmarkError for a space that is not tabulated."""
    return fit.dataset_of(space, NAME, "transnasbench101", TABULATED)


def key_in(text: str) -> str | None:
    """The key, if a text is one."""
    return text if _KEY.fullmatch(text) else None


def key_of(genotype: Genotype, space: Space) -> str:
    """`64-41414-1_02_333`: digits of operations, nodes apart, sources in order."""
    rows = space.rules[0].rows
    fit.complete(genotype, tuple(i for _, identities in rows for i in identities))
    digits = [
        "".join(str(_OPERATIONS.index(fit.one_label(genotype, e))) for e in edges)
        for _, edges in rows
    ]
    return _SKELETON + "_".join(digits)


def opened(given: Path | None) -> Opened:
    """The benchmark's API on the user's data. Raises BenchmarkMissing, BenchmarkError."""
    place = foreign.data(
        given, FILES, f"download {FILES[0]} as https://github.com/yawen-d/TransNASBench says"
    )
    module = foreign.package(
        ("TransNASBench.api", "api"),
        "TransNASBenchAPI",
        "git clone https://github.com/yawen-d/TransNASBench and put the clone on PYTHONPATH",
    )
    with foreign.calling(f"loading {place} with TransNASBenchAPI"):
        return Opened(module.TransNASBenchAPI(str(place)))


@dataclass(frozen=True, slots=True)
class Opened:
    """A loaded benchmark."""

    api: Any

    def record(self, key: str, *, dataset: str, epochs: int | None = None) -> Record:
        """The record of a cell on a task. Raises BenchmarkError."""
        if epochs is not None:
            raise BenchmarkError(f"{NAME} has one training per network; leave the epochs out")
        if dataset not in self.api.task_list:
            raise BenchmarkError(
                f"{NAME} has no task `{dataset}`; it has {', '.join(self.api.task_list)}"
            )
        if key not in self.api.all_arch_dict["micro"]:
            raise BenchmarkError(f"{NAME} has no cell `{key}`")
        name, metric, unit = self._metric(dataset)
        with foreign.calling(f"{NAME}: reading {key} on {dataset}"):
            test = float(self.api.get_single_metric(key, dataset, f"test_{name}", mode="final"))
            valid = float(self.api.get_single_metric(key, dataset, f"valid_{name}", mode="final"))
            params = float(self.api.get_model_info(key, dataset, "model_params"))
            flops = float(self.api.get_model_info(key, dataset, "model_FLOPs"))
        mean, std = moments((test,))
        return Record(
            benchmark=NAME,
            key=key,
            dataset=dataset,
            setting="as published, last epoch",
            metric=metric,
            unit=unit,
            test=(test,),
            mean=mean,
            std=std,
            validation=valid,
            params=round(_whole(params)),
            flops=_whole(flops),
            flops_unit="multiply-adds as thop counts them",
        )

    def records(self, *, dataset: str, epochs: int | None = None) -> Iterator[Record]:
        """The records of all 4 096 cells."""
        return (
            self.record(key, dataset=dataset, epochs=epochs)
            for key in self.api.all_arch_dict["micro"]
        )

    def _metric(self, task: str) -> tuple[str, str, str]:
        there = self.api.metrics_dict[task]
        for name, metric, unit in METRICS:
            if f"test_{name}" in there and f"valid_{name}" in there:
                return name, metric, unit
        raise BenchmarkError(f"{NAME} has none of the known metrics for {task}: {there}")


def _whole(value: float) -> float:
    """A count. A network of less than a thousand of anything is one counted in millions."""
    return value if value >= 1000 else value * 1e6
