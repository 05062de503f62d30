"""The kernels under the address, undefined-behaviour and thread sanitizers.

    python tools/check_kernels.py                          all cases, both sanitizers
    python tools/check_kernels.py darts --sanitizer thread one case, races alone
    python tools/check_kernels.py --level portable --precision float64

Each case is a region of a space: its calls, forward and backward, training and evaluation, are
recorded as the library makes them, and made again by a program of its own that is compiled with the
sanitizer, in teams of --threads. Every buffer is as long as it says and not a byte longer, there is
forbidden memory between the pieces of the work buffer, and what a call has to write before it reads
holds NaN. A report of a sanitizer, or a result that is not the library's, ends the status at 1.

The case `images` is the kernel that makes batches of images, called as data sets call it.

OpenMP's runtime is not instrumented, so the race detector would see races in it that are none: the
program runs the same kernels over `kernel_check/team.h`, a team of std::thread.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import image_calls
import torch
from torch import Tensor

from nasdsl import driver
from nasdsl.codegen.supernet import Supernet
from nasdsl.fusion.generated import cells
from nasdsl.fusion.generated.cells import CellJob
from nasdsl.ir.shape import Shape
from nasdsl.kernels import level as levels
from nasdsl.kernels.build import sources
from nasdsl.kernels.library import unit
from nasdsl.kernels.toolchain import Missing, Toolchain, toolchain
from nasdsl.lowering.value.kinds import Given
from nasdsl.passes.aux_skip import aux_skip
from nasdsl.passes.partial import partial

HERE = Path(__file__).parent / "kernel_check"
SANITIZERS = {
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-fsanitize=thread",),
}
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A space, what of it is small, and how it runs."""

    space: str
    given: tuple[tuple[str, int], ...]
    size: int
    batch: int = 3
    edit: str = ""
    profile: str = "balanced"

    def build(self) -> Any:
        data = Given("data", Shape("image", (3, self.size, self.size)), 10)
        made = driver.space(
            driver.load(driver.index("space")[self.space]),
            self.space,
            {**dict(self.given), "data": data},
        )
        return {"": lambda s: s, "partial": lambda s: partial(s, 4), "aux_skip": aux_skip}[
            self.edit
        ](made)


def _darts(**given: Any) -> Case:
    channels, layers = given.pop("C", 4), given.pop("layers", 3)
    return Case(space="darts", given=(("C", channels), ("layers", layers)), **given)


#: Normal and reduction cells, odd sizes, channels that fill no lane and more than one.
CASES = {
    "darts": _darts(size=8),
    "darts_odd": _darts(C=5, size=9, batch=2),
    "darts_small": _darts(C=6, size=6, batch=2),
    "darts_wide": _darts(C=18, size=6, batch=5),
    "darts_memory": _darts(size=7, profile="memory"),
    "darts_partial": _darts(C=8, size=8, edit="partial"),
    "darts_aux": _darts(size=8, edit="aux_skip"),
    "nasbench201": Case(space="nasbench201", given=(("C", 6), ("n", 1)), size=12),
    "nb1shot1_s1": Case(space="nb1shot1_s1", given=(("C", 4), ("n", 1)), size=8),
    "nb1shot1_s3": Case(space="nb1shot1_s3", given=(("C", 7), ("n", 1)), size=9),
    "robust_s4": Case(space="robust_s4", given=(("C", 4), ("layers", 3)), size=7),
    "nasnet": Case(space="nasnet", given=(("C", 4), ("layers", 2)), size=12),
}

#: The other kernel; it has one precision.
IMAGES = "images"

# --- recording ------------------------------------------------------------------------------------


def _bytes(tensor: Tensor) -> bytes:
    """The memory from the first to the last number of a tensor, gaps too."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    last = sum((n - 1) * step for n, step in steps) if tensor.numel() else -1
    return ctypes.string_at(tensor.data_ptr(), (last + 1) * tensor.element_size())


def _words(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


def _strides(tensors: Sequence[Tensor | None]) -> bytes:
    rows = [tuple(t.stride()[:4]) if t is not None else () for t in tensors]
    return b"".join(_words(*row, *((0,) * (4 - len(row)))) for row in rows)


class _Table:
    """A table of tensors as `Table` in `run.cpp` reads it."""

    def __init__(self, tensors: Sequence[Tensor | None], fresh: range = range(0)) -> None:
        self.tensors = tensors
        parts = []
        for k, tensor in enumerate(tensors):
            given = tensor is not None and k not in fresh
            parts.append(_words(int(given)))
            parts.append(_bytes(tensor) if given and tensor is not None else b"")
        self.before = b"".join(parts)

    def written(self) -> bytes:
        """Call it when the call is done."""
        kinds = [0 if t is None else 1 + int(t.dtype is torch.int64) for t in self.tensors]
        after = [b"" if t is None else _bytes(t) for t in self.tensors]
        lengths = _words(*[len(b) for b in after])
        return b"".join((_words(*kinds), lengths, _strides(self.tensors), self.before, *after))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Stands in for `CellJob` and writes down what each call was given and what it made."""

    file: Any
    threads: int

    def job(self, **parts: Any) -> CellJob:
        recorder = self

        class Recording(CellJob):
            def _forward(
                self, tensors: Any, training: Any, factors: Any, n: int, outputs: Any
            ) -> Any:
                slots = self.engine.slots
                held = (*tensors, *self.bound.buffers)
                fresh = range(slots.inputs, slots.inputs + slots.outputs)
                table = _Table(held, fresh)
                found = super()._forward(tensors, training, factors, n, outputs)
                assert found is not None
                made = self.program
                words = recorder.head(0, n, made.forward, cells._modes(training), factors)
                lane = n * self.lib.lanes * tensors[0].element_size()
                room = (8 * found.statistics.numel(), made.kept * lane, made.passing * lane, 0, 0)
                none = _Table([None] * len(held))
                recorder.put(words, _words(*room), _words(len(held)), table, none)
                return found

            def _backward(
                self, tensors: Any, forwarded: Any, results: Any, modes: Any, n: int
            ) -> None:
                statistics, (kept,) = forwarded.statistics, forwarded.kept
                buffers = self.engine.slots.buffers
                room = buffers if all(modes) else 0
                held = _Table((*tensors, *([None] * room)))
                into = _Table((*results, *([None] * buffers)))
                given = _bytes(statistics) + _bytes(kept)
                super()._backward(tensors, forwarded, results, modes, n)
                made = self.program
                words = recorder.head(
                    1, n, made.backward, cells._modes(modes), cells._still(len(modes))
                )
                lane = n * self.lib.lanes * kept.element_size()
                lengths = (8 * statistics.numel(), kept.numel() * kept.element_size(),
                           made.passing_back * lane, made.gradient * lane, 0)  # fmt: skip
                count = _words(len(held.tensors))
                recorder.put(words, _words(*lengths), given + count, held, into)

        return Recording(**parts)

    def head(self, direction: int, n: int, words: Any, training: Any, factors: Any) -> bytes:
        head = _words(direction, n, min(self.threads, n), len(words), *words, len(training))
        return head + _words(*training) + bytes(factors)

    def put(self, *parts: bytes | _Table) -> None:
        for part in parts:
            self.file.write(part.written() if isinstance(part, _Table) else part)


def record(case: Case, precision: str, threads: int, to: Path) -> frozenset[tuple[int, int, int]]:
    """Writes the calls of a step in training and one in evaluation; the depthwise kernels used."""
    dtype = PRECISIONS[precision]
    net = Supernet(case.build(), profile=case.profile).to(dtype)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=draw))
    used: set[tuple[int, int, int]] = set()
    with to.open("wb") as file:
        recorder = Recorder(file=file, threads=threads)

        def job(**parts: Any) -> CellJob:
            used.update(parts["engine"].region.depthwise)
            return recorder.job(**parts)

        with mock.patch.object(cells, "CellJob", job):
            for training in (True, False):
                net.train(training)
                x = torch.randn(case.batch, 3, case.size, case.size, generator=draw).to(dtype)
                mix = {
                    name: torch.rand(table.shape, generator=draw).to(dtype).requires_grad_()
                    for name, table in net.tables.items()
                }
                net(x.requires_grad_(), mix).square().sum().backward()
    if not to.stat().st_size:
        raise SystemExit(f"{case.space}: no call was recorded")
    return frozenset(used)


# --- building and running -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """A compiler and a sanitizer that run here."""

    compiler: Toolchain
    sanitizer: str
    #: What starts a program of this sanitizer: some need addresses that are not random.
    start: tuple[str, ...] = ()

    def compile(self, source: Path, to: Path, *flags: str) -> None:
        """Raises SystemExit with what the compiler says."""
        call = [*self.compiler.command, "-std=c++17", "-O1", "-g", "-fno-omit-frame-pointer"]
        call += [*SANITIZERS[self.sanitizer], *flags, "-pthread", str(source), "-o", str(to)]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the compiler failed: {done.stderr[-2000:]}")

    def run(self, program: Path, *given: str) -> tuple[int, str]:
        done = subprocess.run(
            [*self.start, str(program), *given], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr


def checker(sanitizer: str) -> Checker | Missing:
    """A compiler whose programs run under a sanitizer; Missing says why there is none."""
    compiler = toolchain()
    if isinstance(compiler, Missing):
        return compiler
    starts: list[tuple[str, ...]] = [()]
    if where := shutil.which("setarch"):
        starts.append((where, platform.machine(), "-R"))
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "probe.cpp"), Path(folder, "probe")
        source.write_text("#include <thread>\nint main() { std::thread([] {}).join(); }\n")
        found = Checker(compiler=compiler, sanitizer=sanitizer)
        try:
            found.compile(source, program)
        except SystemExit:
            return Missing(reason=f"the compiler has no runtime of the {sanitizer} sanitizer")
        for start in starts:
            if replace(found, start=start).run(program)[0] == 0:
                return replace(found, start=start)
    return Missing(reason=f"programs with the {sanitizer} sanitizer do not run here")


def program(
    found: Checker,
    precision: str,
    level: levels.Level,
    depthwise: frozenset[tuple[int, int, int]],
    folder: Path,
    changes: dict[str, tuple[str, str]] | None = None,
) -> Path:
    """The program that makes recorded calls again. `changes` puts faults into files, for tests."""
    made = unit(PRECISIONS[precision], level, depthwise)
    files = {**sources("cell"), **{p.name: p.read_text() for p in HERE.iterdir()}}
    for name, (old, new) in (changes or {}).items():
        if old not in files[name]:
            raise SystemExit(f"{name} has no line `{old}`")
        files[name] = files[name].replace(old, new)
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    defines = [f"-D{d}" for d in made.defines]
    to = folder / "check"
    found.compile(folder / "run.cpp", to, *level.flags, "-Wno-psabi", *defines)
    return to


def images_program(
    found: Checker, level: levels.Level, folder: Path, change: tuple[str, str] = ("", "")
) -> Path:
    """The program that makes recorded batches again. `change` puts a fault into it, for tests."""
    text = sources("images")["images.cpp"]
    if change[0] not in text:
        raise SystemExit(f"images.cpp has no line `{change[0]}`")
    folder.mkdir(exist_ok=True)
    (folder / "images.cpp").write_text(text.replace(*change) if change[0] else text, "utf-8")
    (folder / "run.cpp").write_text((HERE / "images.cpp").read_text(), "utf-8")
    to = folder / "images"
    found.compile(folder / "run.cpp", to, *level.flags, "-Wno-psabi", "-Wno-unknown-pragmas")
    return to


def check(
    names: Sequence[str], sanitizer: str, level: levels.Level, precision: str, threads: int
) -> Iterator[tuple[str, int, str]]:
    """Case, exit status and what was said, one after the other. Raises SystemExit."""
    found = checker(sanitizer)
    if isinstance(found, Missing):
        raise SystemExit(found.reason)
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        if IMAGES in names:
            with mock.patch.dict(os.environ, NASDSL_CPU_LEVEL=level.name):
                image_calls.record(folder / f"{IMAGES}.calls")
            made = images_program(found, level, folder / IMAGES)
            yield IMAGES, *found.run(made, str(folder / f"{IMAGES}.calls"))
        names = [name for name in names if name != IMAGES]
        if not names:
            return
        used: frozenset[tuple[int, int, int]] = frozenset()
        # What is recorded has the lanes of the level that is checked.
        with mock.patch.dict(os.environ, NASDSL_CPU_LEVEL=level.name):
            for name in names:
                used |= record(CASES[name], precision, threads, folder / f"{name}.calls")
        ready = program(found, precision, level, used, folder / "source")
        for name in names:
            yield name, *found.run(ready, str(folder / f"{name}.calls"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Check the kernels with sanitizers.")
    parser.add_argument("case", nargs="*", choices=[[], IMAGES, *CASES], help="all without any")
    parser.add_argument("--sanitizer", choices=SANITIZERS, action="append", help="both without")
    parser.add_argument("--level", choices=levels.LEVELS, default=levels.level().name)
    parser.add_argument("--precision", choices=PRECISIONS, action="append", help="both without")
    parser.add_argument("--threads", type=int, default=3)
    given = parser.parse_args()
    failed = False
    level, names = levels.LEVELS[given.level], given.case or [IMAGES, *CASES]
    ways = itertools.product(given.sanitizer or SANITIZERS, given.precision or PRECISIONS)
    first = (given.precision or list(PRECISIONS))[0]
    for sanitizer, precision in ways:
        chosen = [name for name in names if name != IMAGES or precision == first]
        for name, status, said in check(chosen, sanitizer, level, precision, given.threads):
            failed = failed or status != 0
            lines = said.strip().splitlines()
            last = lines[-1] if lines and not status else f"status {status}"
            print(f"{sanitizer} {precision} {name}: {last}", flush=True)
            if status:
                print(said)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
