"""Folders of images, one per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasdsl.training.data.arrays import Arrays, DataError, checked
from nasdsl.training.data.files import Files
from nasdsl.training.data.picture import SUFFIXES, picture
from nasdsl.training.data.request import Request

#: GiB of decoded images up to which they are held in memory.
MEMORY = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is held in memory, in bytes, and how many processes decode what is not."""

    limit: float
    workers: int


def folder(request: Request) -> Arrays:
    """root/train/<class>/*.png and root/test (or val)/<class>/*.

    Options: `size`, to which every image is resized (pixels, square); `classes`, to keep only the
    first that many classes by name; `memory`, the GiB up to which images are held in memory; and
    `workers`, the processes that decode them where they are not (0: none but this one).
    """
    request.takes("size", "classes", "memory", "workers")
    root = request.folder()
    memory = request.number("memory", MEMORY)
    workers = request.number("workers", min(8, max(1, (os.cpu_count() or 1) // 2)))
    if memory < 0:
        raise DataError(f"folder: `memory` is {memory:g}; expected GiB, from 0")
    if workers % 1 or not 0 <= workers <= 256:
        raise DataError(f"folder: `workers` is {workers:g}; expected a whole number, 0 to 256")
    return tree(
        root.name or "folder", root, size=request.positive("size"),
        classes=request.positive("classes"),
        held=Held(limit=memory * 2**30, workers=int(workers)),
    )  # fmt: skip


def tree(
    name: str, root: Path, *, size: int | None, classes: int | None, held: Held | None = None
) -> Arrays:
    """A folder's images, of the first `classes` classes only where that is given.

    They are in memory, or `Files` where both parts together are larger than `held` allows.
    """
    train = root / "train"
    test = next((root / n for n in ("test", "val") if (root / n).is_dir()), None)
    if not train.is_dir() or test is None:
        raise DataError(
            f"{root}: needs the folders train/ and test/ (or val/), each with a folder per class"
        )
    names = [place.name for place in subfolders(train)]
    if not names:
        raise DataError(f"{train}: has no class folders; put the images of each class in its own")
    if classes is not None and classes > len(names):
        raise DataError(f"{train}: has {len(names)} class folders; `classes` asks for {classes}")
    names = names[:classes]
    missing = [n for n in names if not (test / n).is_dir()]
    extra = [f.name for f in subfolders(test) if f.name not in names] if classes is None else []
    if missing or extra:
        where, which = (test, missing) if missing else (train, extra)
        raise DataError(f"{where}: lacks the class folder {which[0]}; train and test must agree")
    parts = _listed(train, names), _listed(test, names)
    if held is not None:
        left, right = (_files(part, size, held.workers) for part in parts)
        if left.bytes + right.bytes > held.limit:
            channels = max(left.shape[1], right.shape[1])
            pair = left.of(channels), right.of(channels)
            labels = (np.asarray([label for label, _ in part], np.int64) for part in parts)
            given = zip(pair, labels, strict=True)
            return checked(name, *given, where=root, classes=len(names))
    return checked(
        name, _images(parts[0], size), _images(parts[1], size), where=root, classes=len(names)
    )


def _listed(part: Path, names: Sequence[str]) -> list[tuple[int, Path]]:
    """Label and path of all images of one part: the first of every class, then the second, ...

    Whole classes one after another would leave classes out of a split in file order.
    """
    listed: list[tuple[int, int, Path]] = []
    for label, name in enumerate(names):
        found = sorted(p for p in (part / name).iterdir() if p.suffix.lower() in SUFFIXES)
        if not found:
            raise DataError(f"{part / name}: has no {'/'.join(SUFFIXES)} images; add some")
        listed.extend((place, label, path) for place, path in enumerate(found))
    listed.sort(key=lambda entry: entry[:2])
    return [(label, path) for _, label, path in listed]


def _files(listed: list[tuple[int, Path]], size: int | None, workers: int) -> Files:
    """One part on disk. The first image of every class says whether there is colour."""
    first: dict[int, Path] = {}
    for label, path in listed:
        first.setdefault(label, path)
    seen = [picture(path, size).shape for path in first.values()]
    height, width = seen[0][:2]
    return Files(
        paths=tuple(str(path) for _, path in listed),
        shape=(len(listed), max(s[2] for s in seen), height, width),
        size=size,
        workers=workers,
    )


def _images(listed: list[tuple[int, Path]], size: int | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """All images of one part, decoded."""
    pictures = [picture(path, size) for _, path in listed]
    height, width = pictures[0].shape[:2]
    for (_, path), found in zip(listed, pictures, strict=True):
        if found.shape[:2] != (height, width):
            raise DataError(
                f"{path}: is {found.shape[1]}x{found.shape[0]} pixels, others are "
                f"{width}x{height}; resize them, or say folder(..., size = {min(height, width)})"
            )
    channels = max(found.shape[2] for found in pictures)
    x = np.empty((len(pictures), channels, height, width), np.uint8)
    for i, found in enumerate(pictures):
        x[i] = found.transpose(2, 0, 1)  # a grey picture among colour ones is broadcast
    return x, np.asarray([label for label, _ in listed], np.int64)


def subfolders(place: Path) -> list[Path]:
    """Folders directly inside `place` by name, without hidden ones and archive debris."""
    try:
        entries = sorted(place.iterdir())
    except OSError:
        return []  # not ours to read: it cannot hold the data set
    return [e for e in entries if e.is_dir() and not e.name.startswith((".", "__MACOSX"))]
