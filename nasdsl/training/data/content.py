"""What a data file holds."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from nasdsl.training.data.arrays import DataError


def content(path: Path) -> bytes:
    """A file's content, uncompressed if its name ends in `.gz`."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                return stream.read()
        return path.read_bytes()
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f"{path}: cannot be read ({problem}); fetch the file again") from problem
