"""Whether all ranks hold the same: what they move alike is compared before it is written down.

Ranks are given equal gradients and draw equal noise, so weights, alphas, optimizers, generators and
places in the data are equal to the last bit. Where they are not (machines of different kinds, a
plugin that draws by itself), going on would train another network on every rank. Parameters that
are sharded are one for all; of such a run alphas, statistics and generators are compared.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from torch import Tensor

from nasdsl.oneshot.ranks.world import World, WorldError
from nasdsl.training.data.filed import Filed
from nasdsl.training.data.files import Files
from nasdsl.training.data.inputs import Inputs
from nasdsl.training.task import State

#: Operations that draw by themselves do so on every rank for its own images.
_OWN = ("generators", "global")


class Disagreed(WorldError):
    """The ranks do not hold the same any more."""


def digests(state: State) -> dict[str, bytes]:
    """SHA-256 of every group of tensors in a state, and of its values, by name."""
    tensors, values = state
    found = {"values": hashlib.sha256(json.dumps(values).encode()).digest()}
    for group in sorted(tensors):
        total = hashlib.sha256()
        for name in sorted(tensors[group]):
            if (group, name) != _OWN:
                total.update(name.encode())
                total.update(_bytes(tensors[group][name]))
        found[group] = total.digest()
    return found


def _bytes(tensor: Tensor) -> bytes:
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().tobytes()


def _listed(files: Files) -> bytes:
    """The names of images that stay on disk, below their folder, and the size of every file.

    The folder itself may lie elsewhere on another machine; decoding all images once more would
    cost an epoch. A file that is gone has size -1, so that no rank leaves while others ask.
    """
    root = os.path.commonpath(files.paths) if files.paths else ""
    listed = []
    for path in files.paths:
        try:
            size = Path(path).stat().st_size
        except OSError:
            size = -1
        listed.append((os.path.relpath(path, root), size))
    return json.dumps([files.shape, listed]).encode()


def agree(state: State, world: World, where: str) -> None:
    """Compare what the ranks hold; every rank has to ask. Raises Disagreed, on all of them."""
    if not world.several:
        return
    found = digests(state)
    # A group that some rank lacks would shift all behind it.
    names = hashlib.sha256(json.dumps(list(found)).encode()).digest()
    differs = world.differing({"groups of the state": names})
    differs = differs or world.differing(found)
    if differs is not None:
        name, rank = differs
        raise Disagreed(
            f"{where}: `{name}` of rank {rank} is not that of rank 0; nothing of it is written. "
            "The ranks have to run on machines of one kind, and whatever draws noise has to take "
            "the generator it is given"
        )


def same_data(prepared: Inputs, world: World) -> None:
    """Compare what the ranks have read, images and split; every rank has to ask. Raises Disagreed.

    That the parts of a split are disjoint, every rank has seen for itself where it read them.
    """
    if not world.several:
        return
    found = {}
    for part, images in (("training images", prepared.train), ("test images", prepared.test)):
        total = hashlib.sha256()
        pixels = _listed(images.files) if isinstance(images, Filed) else _bytes(images.x)
        total.update(pixels)
        for tensor in (images.y, images.mean, images.std):
            total.update(_bytes(tensor))
        found[part] = total.digest()
    split = json.dumps(prepared.parts.fingerprints())
    found["split"] = hashlib.sha256(split.encode()).digest()
    differs = world.differing(found)
    if differs is not None:
        raise Disagreed(f"the {differs[0]} of rank {differs[1]} are not those of rank 0")
