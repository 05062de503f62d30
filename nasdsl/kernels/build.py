"""From C++ source to a shared object, built once and kept by its digest."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from nasdsl.kernels.cache import folder, locked
from nasdsl.kernels.level import Level
from nasdsl.kernels.toolchain import Missing, Toolchain

#: No -ffast-math: sums keep their order, NaN and infinities mean what they mean.
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fno-predictive-commoning",
    "-shared",
    "-fPIC",
    "-fvisibility=default",
    "-Wno-psabi",
)

#: A line of progress for people.
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What one shared object is made of: files by name, the one compiled, macros."""

    files: Mapping[str, str]
    main: str
    defines: tuple[str, ...]

    def digest(self, flags: tuple[str, ...], compiler: str) -> str:
        """Changes with the source, the flags and the compiler."""
        made = hashlib.sha256()
        for name in sorted(self.files):
            made.update(f"{name}\0{self.files[name]}\0".encode())
        made.update("\0".join((self.main, *self.defines, *flags, compiler)).encode())
        return made.hexdigest()[:32]


def sources(package: str) -> dict[str, str]:
    """The C++ files of a folder of this package."""
    found = {}
    for entry in resources.files("nasdsl.kernels").joinpath(package).iterdir():
        if entry.name.endswith((".h", ".cpp")):
            found[entry.name] = entry.read_text(encoding="utf-8")
    return found


def build(
    unit: Unit,
    compiler: Toolchain,
    level: Level,
    *,
    extra: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Path | Missing:
    """The shared object of a unit; Missing, with what the compiler said, where it fails."""
    threads = ("-fopenmp",) if compiler.threads else ("-Wno-unknown-pragmas",)
    flags = (*FLAGS, *threads, *level.flags, *extra)
    name = unit.digest(flags, compiler.version)
    kept = folder() / "kernels" / name
    made = kept / "kernels.so"
    try:
        if whole(made):
            return made
        kept.mkdir(parents=True, exist_ok=True)
        with locked(kept / "lock"):
            if not whole(made):
                if progress is not None:
                    what = unit.main.removesuffix(".cpp")
                    progress(f"building {what} kernels for {level.name} (once for this machine)")
                return _compile(unit, compiler.command, flags, made)
    except OSError as error:
        return Missing(reason=f"kernels cannot be kept in {kept}: {error.strerror or error}")
    return made


def loaded(
    unit: Unit, compiler: Toolchain, level: Level, *, progress: Progress | None = None
) -> ctypes.CDLL | Missing:
    """A unit built and opened; Missing, with the reason, where either fails."""
    made = build(unit, compiler, level, progress=progress)
    if isinstance(made, Missing):
        return made
    try:
        return ctypes.CDLL(str(made))
    except OSError as error:
        return Missing(reason=f"the built kernels do not load: {error}")


def whole(made: Path) -> bool:
    """Whether a library is there and as it was built: loading half of one ends the process."""
    try:
        return _sum(made).read_text(encoding="ascii") == _digest(made)
    except (OSError, UnicodeDecodeError):
        return False


def _sum(made: Path) -> Path:
    return made.with_suffix(".sha256")


def _digest(made: Path) -> str:
    return hashlib.sha256(made.read_bytes()).hexdigest()


def _compile(
    unit: Unit, command: tuple[str, ...], flags: tuple[str, ...], made: Path
) -> Path | Missing:
    with tempfile.TemporaryDirectory(dir=made.parent) as where:
        for name, text in unit.files.items():
            Path(where, name).write_text(text, encoding="utf-8")
        out = Path(where, "out.so")
        defines = [f"-D{d}" for d in unit.defines]
        call = [*command, *flags, *defines, str(Path(where, unit.main)), "-o", str(out)]
        try:
            done = subprocess.run(call, capture_output=True, text=True, timeout=600, check=False)
        except subprocess.TimeoutExpired:
            return Missing(reason="the compiler did not finish in ten minutes")
        if done.returncode != 0 or not out.exists():
            lines = [line for line in done.stderr.splitlines() if "error" in line]
            said = lines[0] if lines else f"exit status {done.returncode}"
            return Missing(reason=f"the compiler failed: {said}")
        # The sum first: who looks between the two finds no library that agrees, and waits.
        _sum(out).write_text(_digest(out), encoding="ascii")
        _sum(out).replace(_sum(made))
        out.replace(made)
    return made
