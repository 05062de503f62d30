"""The kernel that makes a batch of images from stored bytes: what `images/images.cpp` exports."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nasdsl.kernels.build import Progress, Unit, loaded, sources
from nasdsl.kernels.level import level
from nasdsl.kernels.toolchain import Missing, Toolchain, toolchain

#: What a step of the kernel is, as `Kind` in `images.cpp`.
CROP, FLIP, CUTOUT = range(3)


class ImagesCall(ctypes.Structure):
    """The tensors and extents of one call, as `ImagesCall` in `images.cpp`."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("stored", "chosen", "mean", "deviation")),
        *((name, ctypes.c_void_p) for name in ("steps", "draws", "out")),
        *((name, ctypes.c_int64) for name in ("count", "channels", "height", "width", "n")),
        *((name, ctypes.c_int64) for name in ("step_count", "rows", "columns", "last", "threads")),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One step for every image of a batch: a kind, its two numbers, up to two int64 draws each.

    `CROP` has its size and border, and top and left of the window in the bordered image; `FLIP` has
    whether to; `CUTOUT` has its length, and row and column of the centre.
    """

    kind: int
    numbers: tuple[int, int] = (0, 0)
    draws: tuple[Tensor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The loaded kernel."""

    handle: ctypes.CDLL

    def __call__(
        self, stored: Tensor, chosen: Tensor, mean: Tensor, std: Tensor, moves: Sequence[Move]
    ) -> Tensor:
        """`(stored[chosen] / 255 - mean) / std`, moved, as float32 with channels last.

        `stored` is uint8 NCHW and `chosen` int64, both contiguous on the CPU. The bits are those of the
        tensor operations. Raises IndexError where an index is none of the stored images.
        """
        count, channels, height, width = stored.shape
        side = next((m.numbers[0] for m in reversed(moves) if m.kind == CROP), None)
        rows, columns = (height, width) if side is None else (side, side)
        n = len(chosen)
        # A tensor that is channels last and plain alike stays plain, as `contiguous` keeps it.
        last = channels > 1 and rows * columns > 1
        layout = torch.channels_last if last else torch.contiguous_format
        # Whatever type new tensors have: the kernel reads and writes float32.
        out = torch.empty((n, channels, rows, columns), dtype=torch.float32, memory_format=layout)
        mean, std = mean.float(), std.float()
        steps = (ctypes.c_int64 * (3 * len(moves)))()
        draws = (ctypes.c_void_p * (2 * len(moves)))()
        kept = []
        for k, move in enumerate(moves):
            steps[3 * k], steps[3 * k + 1], steps[3 * k + 2] = move.kind, *move.numbers
            for j, drawn in enumerate(move.draws):
                kept.append(drawn.contiguous())
                draws[2 * k + j] = kept[-1].data_ptr()
        call = ImagesCall(
            stored=stored.data_ptr(), chosen=chosen.data_ptr(),
            mean=mean.data_ptr(), deviation=std.data_ptr(),
            steps=ctypes.addressof(steps), draws=ctypes.addressof(draws), out=out.data_ptr(),
            count=count, channels=channels, height=height, width=width, n=n,
            step_count=len(moves), rows=rows, columns=columns, last=last,
            threads=min(torch.get_num_threads(), max(1, n // 8)),
        )  # fmt: skip
        if self.handle.images_take(ctypes.byref(call)) != 0:
            raise IndexError(f"a batch asks for images outside 0..{count - 1}")
        return out


def batches(progress: Progress | None = None) -> Batches | Missing:
    """The kernel, built on the first call of a machine; Missing, with the reason, without one."""
    compiler = toolchain()
    if isinstance(compiler, Missing):
        return compiler
    return _loaded(compiler, level().name, progress)


@functools.lru_cache(maxsize=8)
def _loaded(compiler: Toolchain, name: str, progress: Progress | None) -> Batches | Missing:
    unit = Unit(files=sources("images"), main="images.cpp", defines=())
    handle = loaded(unit, compiler, level(), progress=progress)
    if isinstance(handle, Missing):
        return handle
    handle.images_take.restype = ctypes.c_int64
    return Batches(handle=handle)
