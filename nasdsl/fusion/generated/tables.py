"""Pointers and strides of the tensors of a call, as the programs read them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from nasdsl.kernels.memory import Memory

Numbers = ctypes.Array[ctypes.c_int64]


def pointers(tensors: Sequence[Tensor | None], room: int = 0) -> Numbers:
    """Where tensors begin, 0 for none; `room` more at the end."""
    found = [0 if t is None else t.data_ptr() for t in tensors]
    return (ctypes.c_int64 * (len(found) + room))(*found)


class Strides:
    """Strides of the tensors of one region, four each; most calls have those of the one before."""

    def __init__(self) -> None:
        # One value, so that no thread sees the strides of one call and the table of another.
        self._last: tuple[tuple[tuple[int, ...] | None, ...], Numbers] = (
            (),
            (ctypes.c_int64 * 0)(),
        )

    def of(self, tensors: Sequence[Tensor | None]) -> Numbers:
        now = tuple([None if t is None else t.stride() for t in tensors])
        last, table = self._last
        if now == last:
            return table
        flat: list[int] = []
        for one in now:
            own = one or ()
            flat += own[:4]
            flat += (0,) * (4 - len(own))
        table = (ctypes.c_int64 * len(flat))(*flat)
        self._last = (now, table)
        return table


def image(tensor: Tensor) -> Tensor:
    """The same images with channels that are neighbours in memory."""
    if tensor.shape[1] == 1 or tensor.stride(1) == 1:
        return tensor
    made = tensor.contiguous(memory_format=torch.channels_last)
    if made.stride(1) == 1:
        return made
    return torch.empty_like(tensor, memory_format=torch.channels_last).copy_(tensor)


def images(memory: Memory, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Images whose channels are neighbours, not initialised."""
    n, channels, height, width = shape
    flat = memory.take(n * channels * height * width, dtype)
    return flat.as_strided(shape, (height * width * channels, 1, width * channels, channels))


def gradients(
    memory: Memory, given: Sequence[Tensor], asked: Sequence[bool], inputs: int
) -> list[Tensor | None]:
    """Where gradients go, zeros that a program adds to: in the layout of what they belong to."""
    dtype = given[0].dtype
    total = sum([t.numel() for t, yes in zip(given[inputs:], asked[inputs:], strict=True) if yes])
    flat = memory.take(total, dtype).zero_()
    at = 0
    found: list[Tensor | None] = []
    for k, (tensor, yes) in enumerate(zip(given, asked, strict=True)):
        if not yes:
            found.append(None)
        elif k < inputs:
            found.append(images(memory, tuple(tensor.shape), dtype).zero_())
        else:
            found.append(flat.as_strided(tensor.shape, _dense(tensor), at))
            at += tensor.numel()
    return found


def _dense(tensor: Tensor) -> tuple[int, ...]:
    """The strides of a tensor, or of a contiguous one where it has gaps."""
    if tensor.is_contiguous() or (
        tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    ):
        return tensor.stride()
    strides, step = [], 1
    for n in reversed(tensor.shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))
