"""Tabular and surrogate benchmarks: what an architecture scored, without training it."""
