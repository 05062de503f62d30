"""What a benchmark knows about one architecture."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One architecture on one data set of a benchmark; None is what the benchmark has not.

    Accuracies are in percent. `test` has one value per training run, in the order of `seeds` where
    the benchmark names its seeds; `mean` and `std` are of `test`, `std` with divisor n. `params`
    counts trainable parameters, `flops` is in the benchmark's own count (`flops_unit` says which),
    `train_seconds` is the time of one training run, averaged over runs. `metric` names what `test`
    and `validation` hold where that is no accuracy, `better` which direction is good. `predicted`
    is true for a surrogate: nothing was trained.
    """

    benchmark: str
    key: str
    dataset: str
    test: tuple[float, ...]
    mean: float | None
    std: float | None
    validation: float | None = None
    params: int | None = None
    flops: float | None = None
    flops_unit: str = ""
    train_seconds: float | None = None
    seeds: tuple[int, ...] = ()
    setting: str = ""
    metric: str = "accuracy"
    better: str = "higher"
    predicted: bool = False
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Every field under its name; tuples as lists."""
        return {
            "schema": 1,
            "benchmark": self.benchmark,
            "key": self.key,
            "dataset": self.dataset,
            "setting": self.setting,
            "metric": self.metric,
            "better": self.better,
            "predicted": self.predicted,
            "test": list(self.test),
            "mean": self.mean,
            "std": self.std,
            "validation": self.validation,
            "params": self.params,
            "flops": self.flops,
            "flops_unit": self.flops_unit,
            "train_seconds": self.train_seconds,
            "seeds": list(self.seeds),
            "notes": list(self.notes),
        }


def moments(values: tuple[float, ...]) -> tuple[float | None, float | None]:
    """Mean and standard deviation with divisor n, in this order of summation; None of none."""
    if not values:
        return None, None
    mean = sum(values) / len(values)
    return mean, sqrt(sum((v - mean) ** 2 for v in values) / len(values))
