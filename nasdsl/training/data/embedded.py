"""Data sets that come with nasdsl or with scikit-learn."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from nasdsl.training.data.arrays import Arrays, DataError, checked
from nasdsl.training.data.npz import npz_arrays
from nasdsl.training.data.request import Request


def fashion16(request: Request) -> Arrays:
    """The bundled subset of Fashion-MNIST: 10,000 + 2,000 grey images of 16x16."""
    request.takes_nothing()
    place = files("nasdsl") / "data" / "fashion16.npz"
    with place.open("rb") as stream:
        return npz_arrays("fashion16", stream, where=place, classes=10)


def digits(request: Request) -> Arrays:
    """scikit-learn's 1,797 grey 8x8 digits; the last fifth, in file order, is the test part."""
    request.takes_nothing()
    try:
        from sklearn.datasets import load_digits
    except ImportError as problem:
        raise DataError(
            "digits: needs scikit-learn; install it with: pip install 'nasdsl[data]'"
        ) from problem
    bunch = load_digits()
    x = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    y = np.asarray(bunch.target)
    cut = len(x) * 4 // 5
    return checked("digits", (x[:cut], y[:cut]), (x[cut:], y[cut:]), where="digits", classes=10)
