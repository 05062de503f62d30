"""Data sources: from a source's name and arguments to arrays in memory.

Nothing is downloaded and no code stored in a data file is ever run: `.npz` files are read with
`allow_pickle=False`, and the pickled CIFAR batches by an unpickler that knows only inert stand-ins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from nasdsl.training.data import (
    cifar,
    embedded,
    folder,
    generated,
    idx,
    imagenet16,
    npz,
    synthetic,
    tabular,
)  # fmt: skip
from nasdsl.training.data.arrays import Arrays, DataError
from nasdsl.training.data.request import Request

__all__ = ["READERS", "Arrays", "DataError", "read"]


def read(
    source: str,
    args: tuple[object, ...] = (),
    options: Mapping[str, object] | None = None,
    *,
    data_dir: Path | None = None,
    kind: str = "image",
) -> Arrays:
    """The data set that `source(*args, **options)` names, checked.

    `kind` is what a sample is declared to be. Relative paths are taken from `data_dir`, or from the working directory where it is None.
    Raises DataError if the source or an option is unknown, or a file is missing or damaged.
    """
    reader = READERS.get(source)
    if reader is None:
        raise DataError(
            f"unknown data source `{source}`; known: {', '.join(sorted(READERS))} "
            "(convert other data to an .npz file and use npz)"
        )
    base = Path() if data_dir is None else Path(data_dir)
    request = Request(source=source, args=args, options=dict(options or {}), base=base, kind=kind)
    if source not in ANY_KIND:
        request.only_images()
    return reader(request)


#: The sources that torchvision's names stand for.
_TORCHVISION: Mapping[object, str] = {
    "CIFAR10": "cifar10",
    "CIFAR100": "cifar100",
    "MNIST": "mnist",
    "FashionMNIST": "fashion_mnist",
}


def _torchvision(request: Request) -> Arrays:
    """torchvision's name for a set that is read here, from the same files."""
    name = request.args[0] if request.args else None
    if name not in _TORCHVISION:
        raise DataError(
            f"torchvision({name!r}): not read here; known: {', '.join(map(str, _TORCHVISION))} "
            "(convert other data to an .npz file and use npz)"
        )
    source = _TORCHVISION[name]
    return READERS[source](replace(request, source=source, args=request.args[1:]))


#: Sources that hold what their data set declares, or say themselves what they make.
ANY_KIND = ("csv", "interactions", "npz", "parquet", "waveforms")

READERS: Mapping[str, Callable[[Request], Arrays]] = {
    "cifar10": cifar.cifar10,
    "cifar100": cifar.cifar100,
    "csv": tabular.csv,
    "digits": embedded.digits,
    "fashion16": embedded.fashion16,
    "fashion_mnist": idx.fashion_mnist,
    "folder": folder.folder,
    "idx": idx.idx,
    "imagenet16": imagenet16.imagenet16,
    "interactions": generated.interactions,
    "mnist": idx.mnist,
    "npz": npz.npz,
    "parquet": tabular.parquet,
    "synthetic": synthetic.synthetic,
    "torchvision": _torchvision,
    "waveforms": generated.waveforms,
}
