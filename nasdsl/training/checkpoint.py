"""Checkpoints: tensors in safetensors, everything else in JSON, written so that none is ever torn.

A checkpoint is a folder named for its place in the run. It is written beside, forced to disk and
renamed; only then older ones go, except the last that is known to be good. Every file has a digest:
what a bad disk or a cut copy has changed is found, and the checkpoint before it is used.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from nasdsl import disk
from nasdsl.oneshot.ranks.shards import placed

SCHEMA = 3
#: No `state.json` of a run comes near it.
LARGEST_TEXT = 256 * 2**20


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, or belongs to another run."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by group and name, and plain values; `damaged` says what was passed over."""

    tensors: dict[str, dict[str, Tensor]]
    values: dict[str, Any]
    name: str = ""
    damaged: tuple[str, ...] = ()


def write(
    folder: Path,
    name: str,
    tensors: Mapping[str, Mapping[str, Tensor]],
    values: dict[str, Any],
    *,
    before: str | None = None,
) -> Path:
    """Write a checkpoint and make it the newest. Raises DiskError; the older ones then stand.

    Of the older ones, `before` is kept: the last that was written or read.
    """
    made = folder / f"{name}.partial"
    flat = {
        f"{group}|{name}": tensor.detach().cpu().contiguous().clone()
        for group, members in tensors.items()
        for name, tensor in members.items()
    }
    data = save(flat)
    text = _seal({"schema": SCHEMA, "tensors": disk.digest(data), **values})
    final = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove(made)
        made.mkdir()
        disk.write(made / "state.safetensors", data)
        disk.write(made / "state.json", text)
        disk.force(made)
        _remove(final)
        made.rename(final)
        disk.force(folder)
    except OSError as error:
        _remove(made)
        raise error if isinstance(error, disk.DiskError) else disk.failed(final, error) from None
    replace_text(folder / "latest", name)
    tidy(folder, {name, before})
    return final


def _remove(place: Path) -> None:
    if place.exists():
        shutil.rmtree(place, ignore_errors=True)


def tidy(folder: Path, kept: set[str | None]) -> None:
    """Take away what a killed process left and what is not among the `kept` names."""
    if not folder.is_dir():
        return
    for other in folder.iterdir():
        if other.is_dir():
            if other.name not in kept:
                shutil.rmtree(other, ignore_errors=True)
        elif other.suffix == ".new":
            other.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Replace a small file in one step. Raises DiskError."""
    disk.write(path, text.encode("utf-8"))


def _seal(values: dict[str, Any]) -> bytes:
    """JSON with the digest of what it says."""
    body = json.dumps(values, indent=1)
    return json.dumps({"digest": disk.digest(body.encode()), **values}, indent=1).encode()


def _opened(place: Path) -> dict[str, Any]:
    """The values of a sealed text. Raises ValueError, OSError."""
    path = place / "state.json"
    if path.stat().st_size > LARGEST_TEXT:
        raise ValueError(f"state.json is larger than {LARGEST_TEXT} bytes")
    raw = path.read_bytes()
    values = json.loads(raw.decode("utf-8"))
    if not isinstance(values, dict):
        raise ValueError("state.json holds no object")
    sealed = values.pop("digest", None)
    if values.get("schema") != SCHEMA:
        raise ValueError(f"schema {values.get('schema')!r} is not {SCHEMA}")
    if _seal(values) != raw or disk.digest(json.dumps(values, indent=1).encode()) != sealed:
        raise ValueError("state.json is not what was written")
    return values


def _read(place: Path) -> Checkpoint:
    """The checkpoint of a folder. Raises CheckpointError."""
    try:
        values = _opened(place)
        data = (place / "state.safetensors").read_bytes()
        if disk.digest(data) != values.pop("tensors", None):
            raise ValueError("state.safetensors is not what was written")
        flat = load(data)
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"checkpoint {place} is damaged: {error}") from None
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        group, _, name = key.partition("|")
        tensors.setdefault(group, {})[name] = tensor
    return Checkpoint(tensors, values, place.name)


def places(folder: Path) -> list[Path]:
    """The checkpoints of a folder, the newest first: by the numbers in their names."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if p.is_dir() and p.suffix != ".partial"]
    return sorted(found, key=lambda p: _order(p.name), reverse=True)


def reached(folder: Path) -> str | None:
    """The newest checkpoint of a run or a retraining in words; None where there is none."""
    for part, place in (("retraining", folder / "retrain"), ("search", folder)):
        for newest in places(place / "checkpoint")[:1]:
            return f"{newest.name} of the {part}"
    return None


def _order(name: str) -> tuple[list[int], str]:
    return [int(n) for n in re.findall(r"\d{1,18}", name)], name


def read(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint of a folder; None where there is none yet.

    What is damaged is passed over, and said in `damaged`. Raises CheckpointError where nothing
    whole is left.
    """
    damaged: list[str] = []
    for place in places(folder):
        try:
            found = _read(place)
        except CheckpointError as error:
            damaged.append(str(error))
            continue
        return Checkpoint(found.tensors, found.values, found.name, tuple(damaged))
    if damaged:
        raise CheckpointError(f"{damaged[0]}; there is no older one")
    return None


def load_module(module: torch.nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Load a state dict strictly; a wrapper's `module.` prefix is taken off."""
    plain = {k.removeprefix("module."): v for k, v in tensors.items()}
    for name, now in module.state_dict().items():
        # Where the sizes differ, loading says so.
        if name in plain and plain[name].shape == now.shape:
            plain[name] = placed(plain[name].to(now.dtype), now)
    try:
        module.load_state_dict(plain, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{what} does not fit: {str(error).splitlines()[0]}") from None
