"""Checkpoints: tensors in safetensors, everything else in JSON, written so that none is ever torn.

A checkpoint is a folder named for its place in the run; `latest` names the newest whole one. A new folder is written
beside, forced to disk, then `latest` is replaced in one step: whenever the process dies, the last
whole checkpoint stands.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

SCHEMA = 2


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, or belongs to another run."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by group and name, and plain values."""

    tensors: dict[str, dict[str, Tensor]]
    values: dict[str, Any]


def write(
    folder: Path, name: str, tensors: Mapping[str, Mapping[str, Tensor]], values: dict[str, Any]
) -> Path:
    """Write a checkpoint and make it the newest; older ones are removed. No two have one name."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{name}.partial"
    if made.exists():
        shutil.rmtree(made)
    made.mkdir()
    flat = {
        f"{group}|{name}": tensor.detach().cpu().contiguous().clone()
        for group, members in tensors.items()
        for name, tensor in members.items()
    }
    save_file(flat, made / "state.safetensors")
    text = json.dumps({"schema": SCHEMA, **values}, indent=1)
    (made / "state.json").write_text(text, encoding="utf-8")
    for entry in ("state.safetensors", "state.json"):
        _sync(made / entry)
    final = folder / name
    if final.exists():
        shutil.rmtree(final)
    made.rename(final)
    replace_text(folder / "latest", final.name)
    for other in folder.iterdir():
        if other.is_dir() and other != final:
            shutil.rmtree(other, ignore_errors=True)
    return final


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def replace_text(path: Path, text: str) -> None:
    """Replace a small file in one step."""
    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint of a folder; None where there is none yet.

    Raises CheckpointError where it is damaged.
    """
    pointer = folder / "latest"
    if not pointer.is_file():
        return None
    place = folder / pointer.read_text(encoding="utf-8").strip()
    try:
        flat = load_file(place / "state.safetensors")
        values = json.loads((place / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"checkpoint {place} is damaged: {error}") from None
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise CheckpointError(f"checkpoint {place} has an unknown schema")
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        group, _, name = key.partition("|")
        tensors.setdefault(group, {})[name] = tensor
    return Checkpoint(tensors, values)


def load_module(module: torch.nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Load a state dict strictly; a wrapper's `module.` prefix is taken off."""
    plain = {k.removeprefix("module."): v for k, v in tensors.items()}
    try:
        module.load_state_dict(plain, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{what} does not fit: {str(error).splitlines()[0]}") from None
