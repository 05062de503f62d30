"""What a data file holds, read up to a limit."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from nasdsl.training.data.arrays import DataError

#: The most that one file may hold, unpacked: a small file can be made to unpack to any size.
LARGEST = 4 * 2**30


def content(path: Path, limit: int | None = None) -> bytes:
    """A file's content, uncompressed if its name ends in `.gz`. Raises DataError.

    `limit` is what the caller can use at most; more than it is never unpacked.
    """
    limit = LARGEST if limit is None else limit
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            data = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f"{path}: cannot be read ({problem}); fetch the file again") from problem
    if len(data) > limit:
        raise DataError(f"{path}: holds more than the {limit} bytes that it may")
    return data
