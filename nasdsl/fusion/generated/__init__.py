"""Whole cells as one generated program forward and one backward."""
