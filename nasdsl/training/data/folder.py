"""Folders of images, one per class."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasdsl.training.data.arrays import Arrays, DataError, checked
from nasdsl.training.data.content import content
from nasdsl.training.data.request import Request

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
#: What these are opened as, whatever they hold: other decoders are never asked.
_FORMATS = ("PNG", "JPEG", "BMP")
#: Pixels of the largest image that is unpacked; a photograph of 8192 x 8192.
_PIXELS = 2**26
#: Bytes of the largest file of one.
_BYTES = 2**28


def folder(request: Request) -> Arrays:
    """root/train/<class>/*.png and root/test (or val)/<class>/*.

    Options: `size`, to which every image is resized (pixels, square); `classes`, to keep only the
    first that many classes by name.
    """
    request.takes("size", "classes")
    root = request.folder()
    size = request.positive("size")
    classes = request.positive("classes")
    return tree(root.name or "folder", root, size=size, classes=classes)


def tree(name: str, root: Path, *, size: int | None, classes: int | None) -> Arrays:
    """A folder's images, of the first `classes` classes only where that is given."""
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
    return checked(
        name, _images(train, names, size), _images(test, names, size), where=root,
        classes=len(names),
    )  # fmt: skip


def _images(
    part: Path, names: Sequence[str], size: int | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """All images of one part: the first of every class, then the second of every class, ...

    Whole classes one after another would leave classes out of a split in file order.
    """
    listed: list[tuple[int, int, Path]] = []
    for label, name in enumerate(names):
        found = sorted(p for p in (part / name).iterdir() if p.suffix.lower() in _SUFFIXES)
        if not found:
            raise DataError(f"{part / name}: has no {'/'.join(_SUFFIXES)} images; add some")
        listed.extend((place, label, path) for place, path in enumerate(found))
    listed.sort(key=lambda entry: entry[:2])
    pictures = [_picture(path, size) for _, _, path in listed]
    height, width = pictures[0].shape[:2]
    for (_, _, path), picture in zip(listed, pictures, strict=True):
        if picture.shape[:2] != (height, width):
            raise DataError(
                f"{path}: is {picture.shape[1]}x{picture.shape[0]} pixels, others are "
                f"{width}x{height}; resize them, or say folder(..., size = {min(height, width)})"
            )
    channels = max(picture.shape[2] for picture in pictures)
    x = np.empty((len(pictures), channels, height, width), np.uint8)
    for i, picture in enumerate(pictures):
        x[i] = picture.transpose(2, 0, 1)  # a grey picture among colour ones is broadcast
    return x, np.asarray([label for _, label, _ in listed], np.int64)


def _picture(path: Path, size: int | None) -> NDArray[np.uint8]:
    """One image as (height, width, 1 or 3) bytes."""
    try:
        from PIL import Image
    except ImportError as problem:
        raise DataError(
            "folder: needs pillow; install it with: pip install 'nasdsl[data]'"
        ) from problem
    try:
        # From memory: a length in the file is then believed as far as there are bytes.
        held = io.BytesIO(content(path, limit=_BYTES))
        with warnings.catch_warnings(), Image.open(held, formats=_FORMATS) as opened:
            # The header says how large it is, before anything is unpacked.
            if opened.width * opened.height > _PIXELS:
                raise DataError(
                    f"{path}: has {opened.width}x{opened.height} pixels; at most {_PIXELS} are read"
                )
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = opened.convert("L" if opened.mode in ("1", "L") else "RGB")
            if size is not None and image.size != (size, size):
                shrinks = min(image.size) >= size
                filter_ = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
                image = image.resize((size, size), filter_)
            pixels = np.asarray(image)
    except DataError:
        raise
    except (
        OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError,
        struct.error, zlib.error, Image.DecompressionBombError,
    ) as problem:  # fmt: skip
        raise DataError(f"{path}: not a sound image ({problem}); replace or remove it") from problem
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def subfolders(place: Path) -> list[Path]:
    """Folders directly inside `place` by name, without hidden ones and archive debris."""
    try:
        entries = sorted(place.iterdir())
    except OSError:
        return []  # not ours to read: it cannot hold the data set
    return [e for e in entries if e.is_dir() and not e.name.startswith((".", "__MACOSX"))]
