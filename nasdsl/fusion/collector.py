"""Python's garbage collector at rest while a network is built."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def resting() -> Iterator[None]:
    """No collection inside.

    Hundreds of thousands of objects are made that all stay; going through them again and again
    takes a third of the time of compiling a network of twenty cells.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
