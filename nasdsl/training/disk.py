"""Files that are whole or absent: written beside, forced to disk, then put in place in one step."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path


class DiskError(OSError):
    """Something could not be written; what was there before still stands."""


def force(path: Path) -> None:
    """Force a file, or the entries of a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path: Path, data: bytes) -> None:
    """Put a file in place in one step. Raises DiskError; nothing half-written is left."""
    beside = path.with_name(path.name + ".new")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        force(path.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise failed(path, error) from None


def failed(path: Path, error: OSError) -> DiskError:
    """The error of a write that did not work, said for people."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(
            f"{path}: the disk is full ({error.strerror}); what was written before it stands. "
            "Make room, then run the same command again"
        )
    return DiskError(f"{path}: cannot be written ({error.strerror or error})")


def digest(data: bytes) -> str:
    """SHA-256 in hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
