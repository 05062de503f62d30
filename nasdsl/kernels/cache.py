"""The folder where built kernels stay, and the lock that keeps two builds of one apart."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def folder() -> Path:
    """`NASDSL_CACHE`, else `nasdsl` in `XDG_CACHE_HOME` or `~/.cache`."""
    named = os.environ.get("NASDSL_CACHE")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "nasdsl"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a file's lock; others, in other processes too, wait. Raises OSError."""
    import fcntl

    with path.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(held, fcntl.LOCK_UN)
