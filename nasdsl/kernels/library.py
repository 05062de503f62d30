"""The cell kernels of one precision, loaded: what `cell/cell.cpp` exports."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

import torch

from nasdsl.kernels.build import Progress, Unit, loaded, sources
from nasdsl.kernels.level import Level, level
from nasdsl.kernels.toolchain import Missing, Toolchain, toolchain

#: Depthwise convolutions that every build holds: kernel, dilation, stride.
COMMON = frozenset((k, d, s) for k, d in ((3, 1), (3, 2), (5, 1), (5, 2), (7, 1)) for s in (1, 2))

_REAL = {torch.float32: ("float", 4), torch.float64: ("double", 8)}


class CellCall(ctypes.Structure):
    """The tensors of one call, as `CellCall` in `cell.cpp`."""

    _fields_ = [
        ("words", ctypes.c_void_p),
        ("n", ctypes.c_int64),
        ("tensors", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("grads", ctypes.c_void_p),
        ("gstrides", ctypes.c_void_p),
        ("training", ctypes.c_void_p),
        ("factor", ctypes.c_void_p),
        ("moments", ctypes.c_void_p),
        ("saved", ctypes.c_void_p),
        ("passing", ctypes.c_void_p),
        ("gradient", ctypes.c_void_p),
        ("work", ctypes.c_void_p),
        ("threads", ctypes.c_int64),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """Kernels of one precision and level: channels stand in blocks of `lanes`."""

    level: Level
    lanes: int
    threads: bool
    handle: ctypes.CDLL

    def sizes(self, words: ctypes.Array[ctypes.c_int64], n: int, threads: int) -> tuple[int, ...]:
        """Numbers that a call needs of work forward, work backward, and moments."""
        out = (ctypes.c_int64 * 3)()
        self.handle.cell_sizes(words, ctypes.c_int64(n), ctypes.c_int64(threads), out)
        return tuple(out)

    def forward(self, call: CellCall) -> bool:
        """False, and nothing done, where a weight or a coefficient is no finite number."""
        return bool(self.handle.cell_forward(ctypes.byref(call)))

    def backward(self, call: CellCall) -> None:
        self.handle.cell_backward(ctypes.byref(call))


def unit(dtype: torch.dtype, at: Level, depthwise: frozenset[tuple[int, int, int]]) -> Unit:
    """The source of a build: templates for a precision, a width and depthwise convolutions."""
    real, size = _REAL[dtype]
    shapes = " ".join(f"DEPTHWISE({k},{d},{s})" for k, d, s in sorted(depthwise))
    return Unit(
        files=sources("cell"),
        main="cell.cpp",
        defines=(
            f"REAL={real}",
            f"REAL_BYTES={size}",
            f"VECTOR_BYTES={at.bytes}",
            f"DEPTHWISE_LIST={shapes}",
        ),
    )


def library(
    dtype: torch.dtype,
    depthwise: frozenset[tuple[int, int, int]] = COMMON,
    progress: Progress | None = None,
) -> Library | Missing:
    """Kernels for a precision that hold at least these depthwise convolutions."""
    if dtype not in _REAL:
        return Missing(reason=f"kernels compute in float32 and float64, not in {dtype}")
    compiler = toolchain()
    if isinstance(compiler, Missing):
        return compiler
    return _loaded(dtype, depthwise | COMMON, compiler, level().name, progress)


@functools.lru_cache(maxsize=32)
def _loaded(
    dtype: torch.dtype,
    depthwise: frozenset[tuple[int, int, int]],
    compiler: Toolchain,
    name: str,
    progress: Progress | None,
) -> Library | Missing:
    at = level()
    handle = loaded(unit(dtype, at, depthwise), compiler, at, progress=progress)
    if isinstance(handle, Missing):
        return handle
    handle.cell_sizes.restype = None
    handle.cell_forward.restype = ctypes.c_int64
    handle.cell_backward.restype = None
    return Library(level=at, lanes=handle.cell_lanes(), threads=compiler.threads, handle=handle)
