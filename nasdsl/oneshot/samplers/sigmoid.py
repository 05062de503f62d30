"""Sigmoid of each option."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nasdsl.oneshot.samplers.sample import Sample, each


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """mix = sigmoid(alpha), every option for itself (FairDARTS, arXiv 1911.12126)."""

    one_hot: bool = False

    def sample(self, alphas, tables, generator, schedule):  # type: ignore[no-untyped-def]
        return Sample(self.expected(alphas, tables))

    def expected(self, alphas, tables):  # type: ignore[no-untyped-def]
        return each(alphas, tables, torch.sigmoid)
