"""IDX files: MNIST and its kin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasdsl.training.data.arrays import Arrays, DataError, checked
from nasdsl.training.data.content import content
from nasdsl.training.data.request import Request


def idx(request: Request) -> Arrays:
    """Any folder of four IDX files."""
    request.takes("classes")
    classes = request.positive("classes")
    return _read(request.source, (request.folder(),), classes)


def mnist(request: Request) -> Arrays:
    request.takes()
    base = request.base
    places = _places(request, base / "MNIST" / "raw", base / "mnist", base)
    return _read(request.source, places, classes=10)


def fashion_mnist(request: Request) -> Arrays:
    request.takes()
    base = request.base
    places = _places(
        request,
        base / "FashionMNIST" / "raw",
        base / "fashion-mnist",
        base / "fashion_mnist",
        base,
        Path("/usr/share/datasets/fashion-mnist"),  # Debian's dataset-fashion-mnist
    )
    return _read(request.source, places, classes=10)


def _places(request: Request, *usual: Path) -> Sequence[Path]:
    """The given folder, or the usual ones."""
    given = request.path()
    return (given,) if given else usual


def _read(name: str, places: Sequence[Path], classes: int | None) -> Arrays:
    first = "train-images-idx3-ubyte"
    folder = next((p for p in places if _file(p, first) is not None), None)
    if folder is None:
        raise DataError(
            f"{name}: no {first}[.gz] in {', '.join(map(str, places))}; "
            "put the four IDX files there or pass the right data directory"
        )
    parts = []
    for prefix in ("train", "t10k"):
        pair = []
        for kind, dims in (("images-idx3", 3), ("labels-idx1", 1)):
            path = _file(folder, f"{prefix}-{kind}-ubyte")
            if path is None:
                raise DataError(f"{name}: {folder} lacks {prefix}-{kind}-ubyte[.gz]; add it")
            pair.append(_array(path, dims))
        parts.append((pair[0][:, None], pair[1]))
    return checked(name, parts[0], parts[1], where=folder, classes=classes)


def _file(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _array(path: Path, dims: int) -> NDArray[np.uint8]:
    """One IDX file of unsigned bytes (format: http://yann.lecun.com/exdb/mnist)."""
    raw = content(path)
    header = 4 + 4 * dims
    if len(raw) < header or raw[:4] != bytes((0, 0, 8, dims)):
        raise DataError(
            f"{path}: not an IDX file of bytes with {dims} dimension(s) "
            f"(it begins {raw[:4].hex(' ') or 'empty'}); fetch the file again"
        )
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, header, 4))
    expected = 1
    for length in shape:
        expected *= length
    if len(raw) - header != expected:
        raise DataError(
            f"{path}: {expected} bytes of data expected for shape {shape}, "
            f"{len(raw) - header} found; fetch the file again"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)
