"""Packages and files of others: found where the user has them, never fetched.

Most benchmarks are published as pickles, and their packages unpickle them. A pickle runs what it
says, so give these commands only files whose origin you trust. nasdsl itself unpickles none of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from nasdsl.benchmarks.errors import BenchmarkError, BenchmarkMissing

#: The folder that holds the benchmarks' files under their published names.
VARIABLE = "NASDSL_BENCHMARKS"


def package(names: Sequence[str], attribute: str, install: str) -> Any:
    """The first of these modules that is installed and has the attribute.

    Raises BenchmarkMissing with `install`, the instructions.
    """
    for name in names:
        try:
            with calling(f"importing {name}"):
                module = import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and not name.startswith(error.name):
                raise BenchmarkMissing(
                    f"{name} is installed, but not {error.name}, which it needs"
                ) from None
            continue
        if hasattr(module, attribute):
            return module
    raise BenchmarkMissing(f"{' or '.join(names)} is not installed: {install}")


def data(given: Path | None, names: Sequence[str], get: str) -> Path:
    """The file or folder of a benchmark: the given one, else a known name under $NASDSL_BENCHMARKS.

    Raises BenchmarkMissing with `get`, the instructions.
    """
    if given is not None:
        if not given.exists():
            raise BenchmarkMissing(f"there is no {given}; {get}")
        return given
    folder = os.environ.get(VARIABLE)
    if folder:
        for name in names:
            if (Path(folder) / name).exists():
                return Path(folder) / name
    looked = f"no {' or '.join(names)} in {folder}" if folder else f"{VARIABLE} is not set"
    raise BenchmarkMissing(
        f"the benchmark's data was not found ({looked}): {get}, then give its path (--data), or "
        f"name the folder it lies in with the variable {VARIABLE}"
    )


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Around every call of another package: its talk goes to stderr, its errors are ours.

    Raises BenchmarkError for whatever the package raises; ModuleNotFoundError passes.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (BenchmarkError, ModuleNotFoundError):
        raise
    except Exception as error:  # noqa: BLE001 - another package may raise anything at all
        text = f": {error}" if str(error) else ""
        raise BenchmarkError(f"{what} failed: {type(error).__name__}{text}") from error
