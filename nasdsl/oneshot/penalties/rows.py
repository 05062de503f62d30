"""The rows of a table without their padding."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from nasdsl.codegen.supernet import Table


def by_width(values_RK: Tensor, table: Table) -> Iterator[Tensor]:
    """The rows of every width, `(rows, width)`, in rising width."""
    for width in sorted(set(table.widths)):
        index = [i for i, w in enumerate(table.widths) if w == width]
        yield values_RK[index, :width]
