"""Data sets in `.npz` files, read with `allow_pickle=False`."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nasdsl.training.data.arrays import DIMENSIONS, Arrays, DataError, checked
from nasdsl.training.data.content import LARGEST
from nasdsl.training.data.request import Request

_KEYS = (("x_train", "y_train", "x_test", "y_test"), ("xtr", "ytr", "xte", "yte"))


def npz(request: Request) -> Arrays:
    """One .npz file; see `npz_arrays`."""
    request.takes("classes")
    classes = request.positive("classes")
    path = request.path()
    if path is None:
        raise DataError('npz: needs the path of a file, as in npz("images.npz")')
    return npz_file(path.stem, path, classes, request.kind)


def npz_file(name: str, path: Path, classes: int | None, kind: str = "image") -> Arrays:
    """The data set in a file; see `npz_arrays`."""
    try:
        stream = path.open("rb")
    except OSError as problem:
        raise DataError(
            f"{path}: cannot be opened ({problem.strerror}); check the path and data directory"
        ) from problem
    with stream:
        return npz_arrays(name, stream, where=path, classes=classes, kind=kind)


def npz_arrays(
    name: str, stream: IO[bytes], *, where: object, classes: int | None, kind: str = "image"
) -> Arrays:
    """Four arrays out of an .npz stream, images brought to NCHW; never unpickles."""
    try:
        single = stream.read(6) == np.lib.format.MAGIC_PREFIX
        stream.seek(0)
        if single:
            raise DataError(f"{where}: holds a single array; save four with numpy.savez")
        with zipfile.ZipFile(stream) as archive:
            found = sorted(n.removesuffix(".npy") for n in archive.namelist())
            keys = next((k for k in _KEYS if set(k) <= set(found)), None)
            if keys is None:
                raise DataError(
                    f"{where}: needs arrays {', '.join(_KEYS[0])}; found {', '.join(found)[:200]}"
                )
            x_train, y_train, x_test, y_test = (_array(archive, key) for key in keys)
    except DataError:
        raise
    except (
        ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, SyntaxError,
        TypeError, OverflowError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
        tokenize.TokenError,
    ) as problem:  # fmt: skip
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise DataError(
            f"{where}: not a sound .npz of plain arrays ({reason}); save it again with numpy.savez"
        ) from problem
    return checked(
        name,
        (_laid(x_train, kind), _flat(y_train)),
        (_laid(x_test, kind), _flat(y_test)),
        where=where,
        classes=classes,
        kind=kind,
    )


def _array(archive: zipfile.ZipFile, key: str) -> NDArray[Any]:
    """One array of an archive. Raises ValueError for what is no plain array.

    numpy makes room for what a header promises before it reads; here a header is believed only as
    far as the archive holds as many bytes, and those are bounded.
    """
    members = set(archive.namelist())
    info = archive.getinfo(f"{key}.npy" if f"{key}.npy" in members else key)
    if info.file_size > LARGEST:
        raise ValueError(f"{key} would unpack to {info.file_size} bytes, the limit is {LARGEST}")
    with archive.open(info) as entry:
        version = np.lib.format.read_magic(entry)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(entry)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(entry)
        else:
            raise ValueError(f"{key} has the version {version} of the format")
        if dtype.hasobject:
            raise ValueError(f"{key} holds Python objects, which are not read")
        if dtype.kind not in "biuf":
            raise ValueError(f"{key} holds {dtype}; numbers are wanted")
        count = 1
        for length in shape:
            count *= int(length)
        if not 0 <= count * dtype.itemsize <= info.file_size:
            raise ValueError(f"{key} has shape {shape}, but only {info.file_size} bytes")
        data = entry.read(count * dtype.itemsize)
    flat = np.frombuffer(data, dtype, count)
    return flat.reshape(shape, order="F" if fortran else "C")


def _laid(x: NDArray[Any], kind: str) -> NDArray[Any]:
    """Samples with their channels first; one channel need not be written."""
    if kind == "image":
        return _nchw(x)
    missing = x.ndim == DIMENSIONS[kind] - 1 and kind != "features"
    return x[:, None] if missing else x


def _nchw(x: NDArray[Any]) -> NDArray[Any]:
    """NHW gets a channel axis; NHWC is recognised by 1 or 3 in the last place only."""
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        return x.transpose(0, 3, 1, 2)
    return x


def _flat(y: NDArray[Any]) -> NDArray[Any]:
    """Labels of shape (N, 1), as Keras saves them, become (N,)."""
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
