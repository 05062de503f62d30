"""What a benchmark knows about one architecture."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One architecture on one data set of a benchmark; None is what the benchmark has not.

    `test` has one value per training run, in the order of `seeds` where the benchmark names its
    seeds; `mean` and `std` are of `test`, `std` with divisor n. `validation` is the mean over runs.
    Both are in `unit` (percent for accuracies) of `metric`, and higher is better. `params` counts
    trainable parameters, `flops` multiply-adds as `flops_unit` says. `train_seconds` is the time of
    one training run, mean over runs. `setting` says how networks were trained. `predicted` is true
    for a surrogate: this architecture was not trained.
    """

    benchmark: str
    key: str
    dataset: str
    setting: str
    metric: str = "accuracy"
    unit: str = "percent"
    test: tuple[float, ...] = ()
    mean: float | None = None
    std: float | None = None
    validation: float | None = None
    params: int | None = None
    flops: float | None = None
    flops_unit: str = ""
    train_seconds: float | None = None
    seeds: tuple[int, ...] = ()
    predicted: bool = False
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Every field under its name."""
        return {"schema": SCHEMA, **asdict(self)}


def moments(values: tuple[float, ...]) -> tuple[float | None, float | None]:
    """Mean and standard deviation with divisor n, in this order of summation; None of none."""
    if not values:
        return None, None
    mean = sum(values) / len(values)
    return mean, sqrt(sum((v - mean) ** 2 for v in values) / len(values))
