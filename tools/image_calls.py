"""Calls of the kernel that makes batches of images, written down for `check_kernels.py`.

Every call is made with the library first, so that the checked program has its bits to compare with.
"""

from __future__ import annotations

import struct
from pathlib import Path

import torch
from torch import Tensor

from nasdsl.kernels.batches import batches
from nasdsl.kernels.toolchain import Missing
from nasdsl.training.data.augment import Crop, Cutout, Flip, Pipeline
from nasdsl.training.data.taking import moves

#: Channels, height, width, images of a batch, steps. Rows shorter and longer than a vector, windows
#: that show little or nothing of an image, holes over edges, one image.
SHAPES: tuple[tuple[int, int, int, int, Pipeline], ...] = (
    (1, 16, 16, 9, Pipeline((Crop(16, 2), Flip()))),
    (3, 32, 32, 5, Pipeline((Crop(32, 4), Flip(), Cutout(16)))),
    (3, 9, 7, 4, Pipeline(())),
    (3, 5, 5, 7, Pipeline((Crop(12, 8), Flip(), Cutout(9), Cutout(1)))),
    (3, 40, 33, 3, Pipeline((Crop(17, 0), Flip(), Crop(16, 3), Flip()))),
    (2, 8, 8, 6, Pipeline((Flip(), Crop(3, 0), Cutout(2)))),
    (4, 1, 19, 2, Pipeline((Flip(),))),
    (3, 16, 16, 1, Pipeline((Cutout(40),))),
    (5, 6, 18, 8, Pipeline((Crop(6, 6), Flip()))),
)


def _words(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


def _numbers(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


def record(to: Path) -> None:
    """Write the calls as `kernel_check/images.cpp` reads them. Raises SystemExit without a kernel."""
    made = batches()
    if isinstance(made, Missing):
        raise SystemExit(made.reason)
    draw = torch.Generator().manual_seed(1)
    with to.open("wb") as file:
        for channels, height, width, n, steps in SHAPES:
            count = 6
            stored = torch.randint(
                0, 256, (count, channels, height, width), generator=draw, dtype=torch.uint8
            )
            chosen = torch.randint(0, count, (n,), generator=draw)
            mean, std = torch.rand(channels, generator=draw), torch.rand(channels, generator=draw)
            std = std + 0.1
            drawn, _ = moves(steps, n, (height, width), draw)
            out = made(stored, chosen, mean, std, drawn)
            last = not out.is_contiguous()
            rows, columns = out.shape[2:]
            file.write(_words(count, channels, height, width, n, len(drawn), rows, columns, last))
            for tensor in (stored, chosen, mean, std):
                file.write(_numbers(tensor))
            for move in drawn:
                file.write(_words(move.kind, *move.numbers))
            for move in drawn:
                for k in range(2):
                    given = k < len(move.draws)
                    file.write(_words(given) + (_numbers(move.draws[k]) if given else b""))
            file.write(_numbers(out.permute(0, 2, 3, 1) if last else out))
