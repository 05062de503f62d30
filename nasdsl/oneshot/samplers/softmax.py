"""Softmax of each row."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from nasdsl.oneshot.samplers.sample import Sample, each


def softmax(alpha_RK: Tensor) -> Tensor:
    """Softmax of every row."""
    return F.softmax(alpha_RK, dim=-1)


@dataclass(frozen=True, slots=True)
class Softmax:
    """mix = softmax(alpha) (DARTS, arXiv 1806.09055)."""

    one_hot: bool = False

    def sample(self, alphas, tables, generator, schedule):  # type: ignore[no-untyped-def]
        return Sample(self.expected(alphas, tables))

    def expected(self, alphas, tables):  # type: ignore[no-untyped-def]
        return each(alphas, tables, softmax)
