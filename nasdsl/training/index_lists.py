"""The images of a run, one by one: `splits.json` holds the indices of every part of its split.

A split in a recipe is a rule (`shuffle(data, seed = 0)[0%..50%]`). What it gave is written down when
a run begins, so that it can be read, compared and used elsewhere without the program; a run that goes
on has to come to the same lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nasdsl.training.data import ranges
from nasdsl.training.data.arrays import DataError
from nasdsl.training.data.splits import Indices, Splits, fingerprint
from nasdsl.training.record import RunError, RunFolder

FILE = "splits.json"


def as_json(parts: Splits) -> dict[str, Any]:
    """Every part by its name in the language: how many, their fingerprint, the indices in order."""
    return {
        "schema": 1,
        "parts": {
            name: {
                "count": len(indices),
                "fingerprint": fingerprint(indices),
                "indices": ranges.written(indices),
            }
            for name, indices in parts.parts().items()
        },
    }


def of_json(value: Mapping[str, Any]) -> dict[str, Indices]:
    """The parts that `as_json` wrote. Raises RunError."""
    found = {}
    for name, part in value.get("parts", {}).items():
        try:
            indices = ranges.read(part["indices"])
        except DataError as error:
            raise RunError(f"{FILE}, {name}: {error}") from None
        if len(indices) != part["count"] or fingerprint(indices) != part["fingerprint"]:
            raise RunError(f"{FILE}, {name}: the indices are not those of its fingerprint")
        found[name] = indices
    return found


def lists(folder: RunFolder) -> dict[str, Indices]:
    """The images of every part of a run, from its folder. Raises RunError."""
    return of_json(folder.read(FILE))


def agreed(folder: RunFolder, parts: Splits) -> None:
    """See to it that the lists of a folder are those of the run that goes on in it.

    They are written again where they are missing or damaged. Raises RunError where they are others.
    """
    if folder.sound(FILE):
        try:
            found = lists(folder)
        except RunError as error:
            folder.note(f"{folder.path}: {error}; it is made again")
        else:
            own = parts.parts()
            for name in sorted({*found, *own}):
                if (
                    name not in found
                    or name not in own
                    or not np.array_equal(found[name], own[name])
                ):
                    raise RunError(
                        f"{folder.path}: `{name}` are other images than {FILE} says; the data or "
                        "the split has changed since the run began"
                    )
            return
    folder.write(FILE, as_json(parts))
