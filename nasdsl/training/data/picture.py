"""One image of a file, whatever the file holds."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.content import content

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
#: What these are opened as, whatever they hold: other decoders are never asked.
_FORMATS = ("PNG", "JPEG", "BMP")
#: Pixels of the largest image that is unpacked; a photograph of 8192 x 8192.
_PIXELS = 2**26
#: Bytes of the largest file of one.
_BYTES = 2**28


def picture(path: Path, size: int | None) -> NDArray[np.uint8]:
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
