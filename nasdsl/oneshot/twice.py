"""Forward passes that are differentiated twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def twice() -> Iterator[None]:
    """Attention as plain products inside: its fused kernels have no second derivative."""
    with sdpa_kernel(SDPBackend.MATH):
        yield
