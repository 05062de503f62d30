"""CIFAR-10 and CIFAR-100, in whichever form they lie on disk."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasdsl.training.data.arrays import Arrays, DataError, checked
from nasdsl.training.data.content import content
from nasdsl.training.data.folder import subfolders, tree
from nasdsl.training.data.npz import npz_file
from nasdsl.training.data.plain_pickle import PickledArray, PlainUnpickler
from nasdsl.training.data.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class CifarLayout:
    """How one CIFAR distribution lies on disk (https://www.cs.toronto.edu/~kriz/cifar.html).

    `label_bytes` precede the 3,072 pixel bytes of a binary record; the last of them is the label.
    `records` is the number of images in each training file and in the test file.
    """

    name: str
    classes: int
    binary_folder: str
    pickle_folder: str
    train_files: tuple[str, ...]
    test_file: str
    label_bytes: int
    label_key: str
    records: tuple[int, int]
    npz: str
    class_names: tuple[str, ...] = ()


CIFAR10 = CifarLayout(
    name="cifar10",
    classes=10,
    binary_folder="cifar-10-batches-bin",
    pickle_folder="cifar-10-batches-py",
    train_files=("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
    test_file="test_batch",
    label_bytes=1,
    label_key="labels",
    records=(10_000, 10_000),
    npz="cifar10.npz",
    class_names=(
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
)  # fmt: skip

CIFAR100 = CifarLayout(
    name="cifar100",
    classes=100,
    binary_folder="cifar-100-binary",
    pickle_folder="cifar-100-python",
    train_files=("train",),
    test_file="test",
    label_bytes=2,  # the coarse label comes first; the fine one is meant
    label_key="fine_labels",
    records=(50_000, 10_000),
    npz="cifar100.npz",
)


def cifar10(request: Request) -> Arrays:
    request.takes()
    return read_cifar(CIFAR10, request.folder())


def cifar100(request: Request) -> Arrays:
    request.takes()
    return read_cifar(CIFAR100, request.folder())


def read_cifar(layout: CifarLayout, root: Path) -> Arrays:
    """CIFAR from `root` or a folder up to two levels below it, in whichever form is there.

    Looks for the binary files, the Python batches, an .npz and a tree of images, in this order.
    Raises DataError where there is none, or its files are damaged.
    """
    if not root.is_dir():
        raise DataError(f"{layout.name}: {root} is not a folder; pass the right data directory")
    places = tuple(_folders(root, depth=2))
    for place in places:
        for name, suffix, parse in (
            (layout.binary_folder, ".bin", _binary),
            (layout.pickle_folder, "", _pickle),
        ):
            folder = place if place.name == name else place / name
            if folder.is_dir():
                return _files(layout, folder, suffix, parse)
    for place in places:
        if (place / layout.npz).is_file():
            return _fitting(layout, npz_file(layout.name, place / layout.npz, layout.classes))
    for place in places:
        if _is_tree(layout, place):
            return _fitting(layout, tree(layout.name, place, size=None, classes=None))
    raise DataError(
        f"{layout.name}: nothing found in {root}; put {layout.binary_folder}/, "
        f"{layout.pickle_folder}/, {layout.npz} or train/ and test/ folders of images there"
    )


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """`root` and the folders below it, nearest level first, each level in the order of names."""
    level = [root]
    for _ in range(depth + 1):
        yield from level
        level = [below for place in level for below in subfolders(place)]


def _is_tree(layout: CifarLayout, place: Path) -> bool:
    train, test = place / "train", place / "test"
    if not (train.is_dir() and test.is_dir()):
        return False
    names = {folder.name for folder in subfolders(train)}
    numbers = {str(i) for i in range(layout.classes)}
    if layout.class_names:
        return names == set(layout.class_names) or names == numbers
    return len(names) == layout.classes


def _fitting(layout: CifarLayout, arrays: Arrays) -> Arrays:
    if arrays.shape != (3, 32, 32) or arrays.classes != layout.classes:
        raise DataError(
            f"{layout.name}: found images of shape {arrays.shape} in {arrays.classes} classes; "
            f"expected (3, 32, 32) in {layout.classes}"
        )
    return arrays


def _files(
    layout: CifarLayout,
    folder: Path,
    suffix: str,
    parse: Callable[[CifarLayout, Path, int], tuple[NDArray[Any], NDArray[Any]]],
) -> Arrays:
    def load(name: str, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
        return parse(layout, folder / f"{name}{suffix}", count)

    batches = [load(name, layout.records[0]) for name in layout.train_files]
    train = (np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches]))
    test = load(layout.test_file, layout.records[1])
    return checked(layout.name, train, test, where=folder, classes=layout.classes)


def _binary(layout: CifarLayout, path: Path, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    record = layout.label_bytes + 3072
    raw = content(path, limit=4 * count * record)
    if len(raw) != count * record:
        raise DataError(
            f"{path}: {count * record} bytes expected ({count} images), {len(raw)} found; "
            "fetch the file again"
        )
    table = np.frombuffer(raw, np.uint8).reshape(count, record)
    labels = table[:, layout.label_bytes - 1]
    return table[:, layout.label_bytes :].reshape(count, 3, 32, 32), labels


def _pickle(layout: CifarLayout, path: Path, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        # Names of files come with every image; twice the pixels is more than enough for all.
        raw = content(path, limit=2 * count * 3072 + 2**16)
        batch = PlainUnpickler(io.BytesIO(raw), encoding="bytes").load()
    except DataError as problem:
        raise DataError(f"{path}: {problem}") from problem
    except Exception as problem:  # noqa: BLE001 - a damaged pickle may raise anything at all
        raise DataError(
            f"{path}: not a sound pickle ({type(problem).__name__}); fetch the file again"
        ) from problem
    if not isinstance(batch, dict):
        raise DataError(f"{path}: holds a {type(batch).__name__}; expected a dict of data, labels")
    data = batch.get(b"data", batch.get("data"))
    labels = batch.get(layout.label_key.encode(), batch.get(layout.label_key))
    if not (
        isinstance(data, PickledArray)
        and data.dtype in ("u1", "|u1")
        and isinstance(data.raw, bytes | bytearray)
        and len(data.raw) == count * 3072
        and not data.fortran
    ):
        raise DataError(f"{path}: `data` is not {count} x 3072 bytes; fetch the file again")
    if not (
        isinstance(labels, list)
        and len(labels) == count
        and all(type(label) is int and 0 <= label < layout.classes for label in labels)
    ):
        raise DataError(
            f"{path}: `{layout.label_key}` is not {count} integers 0..{layout.classes - 1}; "
            "fetch the file again"
        )
    images = np.frombuffer(data.raw, np.uint8).reshape(count, 3, 32, 32)
    return images, np.asarray(labels, np.int64)
