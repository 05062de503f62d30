"""ImageNet16 and ImageNet16-120, as NAS-Bench-201 uses them: pickled batches of 16 x 16 images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasdsl.training.data.arrays import Arrays, DataError, checked
from nasdsl.training.data.content import content
from nasdsl.training.data.plain_pickle import PickledArray, PlainUnpickler
from nasdsl.training.data.request import Request

_BYTES = 3 * 16 * 16
_TRAIN = tuple(f"train_data_batch_{i}" for i in range(1, 11))
_TEST = "val_data"
#: Images in the largest batch of the distribution, with room.
_MOST = 150_000


def imagenet16(request: Request) -> Arrays:
    """`train_data_batch_1` to `_10` and `val_data` in a folder.

    `classes` keeps the classes 1 to that number only: 120 gives ImageNet16-120.
    """
    request.takes("classes")
    classes = request.positive("classes") or 1000
    root = request.folder()
    place = next((p for p in (root, root / "ImageNet16") if (p / _TRAIN[0]).is_file()), None)
    if place is None:
        raise DataError(f"imagenet16: no {_TRAIN[0]} in {root}; put the batches there")
    read = [_batch(place / name, classes) for name in _TRAIN]
    train = np.concatenate([x for x, _ in read]), np.concatenate([y for _, y in read])
    return checked(
        "imagenet16", train, _batch(place / _TEST, classes), where=place, classes=classes
    )


def _batch(path: Path, classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The images of a batch and their labels from 0, of the first `classes` classes alone."""
    raw = content(path, limit=_MOST * (_BYTES + 64))
    try:
        batch = PlainUnpickler(io.BytesIO(raw), encoding="bytes").load()
    except DataError as problem:
        raise DataError(f"{path}: {problem}") from problem
    except Exception as problem:  # noqa: BLE001 - a damaged pickle may raise anything at all
        raise DataError(f"{path}: not a sound pickle ({type(problem).__name__})") from problem
    if not isinstance(batch, dict):
        raise DataError(f"{path}: holds no dict of data, labels")
    data = batch.get(b"data", batch.get("data"))
    labels = batch.get(b"labels", batch.get("labels"))
    if not (
        isinstance(labels, list)
        and all(type(label) is int and 1 <= label <= 1000 for label in labels)
    ):
        raise DataError(f"{path}: `labels` is no list of integers 1..1000")
    if not (
        isinstance(data, PickledArray)
        and data.dtype in ("u1", "|u1")
        and isinstance(data.raw, bytes | bytearray)
        and len(data.raw) == len(labels) * _BYTES
        and not data.fortran
    ):
        raise DataError(f"{path}: `data` is not {len(labels)} x {_BYTES} bytes")
    images = np.frombuffer(data.raw, np.uint8).reshape(-1, 3, 16, 16)
    y = np.asarray(labels, np.int64) - 1
    kept = y < classes
    return images[kept], y[kept]
