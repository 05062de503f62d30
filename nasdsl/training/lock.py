"""One process works in a run folder at a time.

The folder itself is locked, so there is no lock file to be left behind: the kernel takes the lock
off when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Busy(ValueError):
    """Another process works in the folder."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is made where it is missing. Raises Busy.

    Where the file system knows no such locks (some network file systems), nothing is locked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # not on this system
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"another process works in {folder}; wait for it, or choose another folder"
            ) from None
        except OSError:
            pass  # not on this file system
        yield
    finally:
        # Processes that were begun since have the handle, too; the lock ends for all of them.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)
