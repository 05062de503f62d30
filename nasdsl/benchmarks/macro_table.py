"""NAS-Bench-Macro's table: 6 561 networks on CIFAR-10, in the package.

Su et al., "Prioritized Architecture Sampling with Monto-Carlo Tree Search", CVPR 2021,
arXiv:2103.11922; https://github.com/xiusu/NAS-Bench-Macro (Apache-2.0). A key is eight digits, one
a layer: 0 identity, 1 inverted residual 3x3 with expansion 3, 2 inverted residual 5x5 with
expansion 6. The stages have 2, 3 and 3 layers.

The authors trained one network for all keys that differ only in where the identities stand after
the first layer of a stage (`canonical`): 3 969 networks were trained, three runs each, and the
other rows repeat theirs. There is no validation accuracy.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from nasdsl.benchmarks.errors import BenchmarkError
from nasdsl.benchmarks.record import moments

STAGES = (2, 3, 3)
LAYERS = sum(STAGES)
DIGITS = "012"


class TableError(BenchmarkError):
    """The table's file is not what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One network: percent of the 10 000 test images in three runs, parameters, multiply-adds.

    The accuracies are the authors' float32 values, exactly. `std` has divisor 3.
    """

    key: str
    test: tuple[float, ...]
    mean: float
    std: float
    params: int
    flops: int


@cache
def rows() -> Mapping[str, Row]:
    """All 6 561 rows by key, in the order of keys. Raises TableError."""
    text = (files("nasdsl") / "data" / "nas_bench_macro.json").read_text(encoding="utf-8")
    return MappingProxyType(parse(text))


def parse(text: str) -> dict[str, Row]:
    """The rows of the table's file: key -> [three accuracies, params, flops].

    Accuracies stand as the shortest decimals that are unique in float32. Raises TableError.
    """
    try:
        table = json.loads(text)["rows"]
        # One array for all: it rounds each decimal to the float32 it was written from.
        flat = array("f", [a for accuracies, _, _ in table.values() for a in accuracies])
        found = {}
        for i, (key, (accuracies, params, flops)) in enumerate(table.items()):
            test = tuple(flat[3 * i : 3 * i + 3])
            mean, std = moments(test)
            if len(accuracies) != 3 or mean is None or std is None:
                raise TableError(f"row {key} has {len(accuracies)} accuracies, not 3")
            found[key] = Row(key=key, test=test, mean=mean, std=std, params=params, flops=flops)
    except TableError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise TableError(f"not the table of NAS-Bench-Macro: {error}") from None
    return found


def canonical(key: str) -> str:
    """The key whose network was trained for this one: identities last within a stage.

    The first layer of a stage stays, because its identity is a strided convolution. This is the
    rule of the authors' script that collected the table.
    """
    parts, at = [], 0
    for layers in STAGES:
        first, rest = key[at], key[at + 1 : at + layers]
        parts.append(first + rest.replace("0", "").ljust(len(rest), "0"))
        at += layers
    return "".join(parts)
