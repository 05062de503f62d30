"""Files that are whole or absent: written beside, forced to disk, then put in place in one step."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from pathlib import Path

#: What is written beside a file, until it takes its place.
BESIDE = ".new"


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
    """Put a file in place in one step. Raises DiskError; nothing half-written is left.

    A link stays a link and a file keeps its mode. What is no file (a terminal, a pipe) is written to.
    """
    try:
        place = path.resolve()
        if place.exists() and not place.is_file():
            _into(place, data)
            return
    except OSError as error:
        raise failed(path, error) from None
    beside = place.with_name(place.name + BESIDE)
    try:
        _into(beside, data)
        if place.exists():
            shutil.copymode(place, beside)
        beside.replace(place)
        force(place.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise failed(path, error) from None


def _into(place: Path, data: bytes) -> None:
    with place.open("wb") as file:
        file.write(data)
        file.flush()
        if place.is_file():
            os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Put a text in place in one step, in a folder that is made. Raises DiskError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise failed(path, error) from None
    write(path, text.encode("utf-8"))


def tidy(folder: Path) -> None:
    """Take away what killed writes left in a folder. Nobody else may be writing there."""
    if folder.is_dir():
        for left in folder.glob(f"*{BESIDE}"):
            if left.is_file():
                left.unlink(missing_ok=True)


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
