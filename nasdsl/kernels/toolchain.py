"""The C++ compiler of this machine, if it has one."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A compiler that makes shared objects: the command it is called by, and its version line."""

    command: tuple[str, ...]
    version: str
    #: Whether loops run on several threads, with the OpenMP runtime that torch has loaded.
    threads: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Why there is no compiler, or no kernels from it."""

    reason: str


def toolchain() -> Toolchain | Missing:
    """The compiler named by `CXX`, else `g++` or `clang++` from the path."""
    return _found(os.environ.get("CXX", ""), os.environ.get("PATH", ""))


@functools.cache
def _found(named: str, path: str) -> Toolchain | Missing:
    if not sys.platform.startswith(("linux", "darwin")):
        return Missing(reason=f"kernels are built on Linux and macOS, not on {sys.platform}")
    candidates = [shlex.split(named)] if named.strip() else [["g++"], ["clang++"]]
    for command in candidates:
        where = shutil.which(command[0], path=path or None)
        if where is None:
            continue
        version = _version((where, *command[1:]))
        if version is not None:
            # The runtime of torch is GNU's; clang would load a second one beside it.
            threads = "clang" not in version.lower()
            return Toolchain(command=(where, *command[1:]), version=version, threads=threads)
    if named.strip():
        return Missing(reason=f"the compiler `{named}` that CXX names is not there or does not run")
    return Missing(reason="no C++ compiler: neither g++ nor clang++ is on the path")


def _version(command: tuple[str, ...]) -> str | None:
    try:
        done = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.splitlines()
    return lines[0] if done.returncode == 0 and lines else None
