"""What can go wrong when a benchmark is asked."""

from __future__ import annotations


class BenchmarkError(ValueError):
    """The benchmark does not know this space, architecture, data set or number of epochs."""


class BenchmarkMissing(BenchmarkError):
    """The benchmark's own package or its data is not here; the text says how to get it."""
