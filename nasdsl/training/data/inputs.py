"""Images and splits of a run, from the declarations that name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasdsl.ir.config import Component, Data, Pipeline, Settings
from nasdsl.ir.shape import Shape
from nasdsl.training.data import augment, normalize, sources, splits
from nasdsl.training.data.arrays import DIMENSIONS
from nasdsl.training.data.filed import Filed
from nasdsl.training.data.files import Files
from nasdsl.training.data.images import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Training and test images on a device, and which training images serve which purpose."""

    name: str
    shape: Shape
    classes: int
    train: Images | Filed
    test: Images | Filed
    parts: splits.Splits
    warnings: tuple[str, ...] = ()


def arrays(dataset: Settings, data_dir: Path | None) -> sources.Arrays:
    """The images a declaration names. Raises DataError, also where they differ from it."""
    source = dataset.get("source")
    if not isinstance(source, Component):
        raise sources.DataError(f"data set `{dataset.name}` has no `source`")
    positional = [v for k, v in source.args if k in ("path", "name") and v is not None]
    options = {k: v for k, v in source.args if k not in ("path", "name") and v is not None}
    declared, classes = dataset.get("shape"), dataset.get("classes")
    kind = declared.kind if isinstance(declared, Shape) else "image"
    if kind not in DIMENSIONS:
        raise sources.DataError(
            f"data set `{dataset.name}` declares {declared}; this version reads "
            f"{', '.join(DIMENSIONS)}"
        )
    found = sources.read(source.name, tuple(positional), options, data_dir=data_dir, kind=kind)
    actual = Shape(kind, found.shape)
    if isinstance(declared, Shape) and declared != actual:
        raise sources.DataError(
            f"data set `{dataset.name}` declares {declared}, what was found is {actual}"
        )
    if classes is not None and int(classes) != found.classes:
        raise sources.DataError(
            f"data set `{dataset.name}` declares {int(classes)} classes, {found.classes} were found"
        )
    return found


def split_of(split: Settings, found: sources.Arrays) -> splits.Splits:
    """The index sets a split names over the training images. Raises DataError."""
    n = len(found.train_y)

    def indices(part: Any) -> NDArray[np.int64]:
        if not isinstance(part, Data):
            raise sources.DataError(f"split `{split.name}` lacks a part")
        match part.order:
            case "file":
                order = np.arange(n, dtype=np.int64)
            case "shuffle":
                order = splits.shuffle(n, part.seed)
            case "files":
                order = np.frombuffer(part.chosen, np.int64)
                if order.max() >= n:
                    place = int(np.argmax(order >= n))
                    raise sources.DataError(
                        f"split `{split.name}`: entry {place + 1} of {part.path} is {order[place]}; "
                        f"the data has only the indices 0..{n - 1}"
                    )
            case _:
                order = splits.stratify(found.train_y, part.seed)
        if part.indices:
            chosen = splits.index_range(int(part.low), int(part.high), len(order))
        else:
            chosen = splits.fraction_range(len(order), part.low, part.high)
        if part.outside:
            return np.delete(order, chosen)
        return order[chosen.start : chosen.stop]

    valid = split.get("retrain.valid")
    return splits.Splits(
        search_train=indices(split.get("search.train")),
        search_valid=indices(split.get("search.valid")),
        retrain_train=indices(split.get("retrain.train")),
        retrain_valid=None if valid is None else indices(valid),
    )


def prepare(dataset: Settings, split: Settings, *, data_dir: Path | None, device: str) -> Inputs:
    """Everything a run reads. Raises DataError; overlapping search parts are refused.

    Normalisation that is not given is measured on the training part of the search.
    """
    found = arrays(dataset, data_dir)
    parts = split_of(split, found)
    findings = splits.check(parts, size=len(found.train_y))
    wrong = [f.message for f in findings if f.severity == "error"]
    if wrong:
        raise sources.DataError(f"split `{split.name}`: {'; '.join(wrong)}")
    normalise = dataset.get("normalize")
    if isinstance(normalise, Component) and normalise.name == "channels":
        channels = normalize.Channels(mean=normalise.get("mean"), std=normalise.get("std"))
    else:
        channels = normalize.measure(found.train_x, parts.search_train)
    return Inputs(
        name=dataset.name,
        shape=Shape(found.kind, found.shape),
        classes=found.classes,
        train=_put(found.train_x, found.train_y, channels, device),
        test=_put(found.test_x, found.test_y, channels, device),
        parts=parts,
        warnings=tuple(f.message for f in findings if f.severity != "error"),
    )


def _put(
    x: NDArray[Any] | Files, y: NDArray[np.int64], channels: normalize.Channels, device: str
) -> Images | Filed:
    if isinstance(x, Files):
        return Filed.put(x, y, channels, device)
    return Images.put(x, y, channels, device)


def pipeline(value: Any) -> augment.Pipeline | None:
    """The augmentation a slot names; None where there is none."""
    parts: Sequence[Any] = value.parts if isinstance(value, Pipeline) else ()
    steps = [(p.name, (), dict(p.args)) for p in parts if isinstance(p, Component)]
    return augment.build(steps) if steps else None
