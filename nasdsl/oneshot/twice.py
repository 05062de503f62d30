"""Forward passes that are differentiated twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn.attention import SDPBackend, sdpa_kernel

from nasdsl.fusion.compiled_cells import uncompiled


@contextmanager
def twice() -> Iterator[None]:
    """Attention as plain products inside, and cells not compiled: fused kernels and compiled code
    have no second derivative."""
    with sdpa_kernel(SDPBackend.MATH), uncompiled():
        yield
