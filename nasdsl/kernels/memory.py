"""Memory for calls, used again: fresh pages from the system cost more than many kernels.

A block goes back by itself when the last tensor over it is gone, whoever held it: nothing is
overwritten that a kept graph still reads.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque

import numpy as np
import torch
from torch import Tensor

#: Blocks begin at a line of the cache.
_LINE = 64


class Memory:
    """Blocks of bytes; half as many again are held as have been in use at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[np.ndarray] = []
        #: Blocks that came back. A collection may end tensors anywhere, also in here, so all that
        #: is done then is to add to this.
        self._back: deque[np.ndarray] = deque()
        self._used = 0
        self._most = 0

    def take(self, count: int, dtype: torch.dtype) -> Tensor:
        """A vector of `count` numbers, not initialised."""
        size = max(count, 1) * dtype.itemsize
        block = self._block(size)
        # Tensors share the memory through this view; its end says that they are gone.
        view = block[:]
        weakref.finalize(view, self._back.append, block).atexit = False
        return torch.from_numpy(view)[:size].view(dtype)

    def clear(self) -> None:
        """Gives what is free back to the system."""
        with self._lock:
            self._settle()
            self._free.clear()
            self._most = self._used

    @property
    def held(self) -> int:
        """Bytes that are kept free."""
        with self._lock:
            self._settle()
            return sum(block.nbytes for block in self._free)

    def _block(self, size: int) -> np.ndarray:
        with self._lock:
            self._settle()
            fitting = [k for k, b in enumerate(self._free) if size <= b.nbytes <= 2 * size + 65536]
            if fitting:
                block = self._free.pop(min(fitting, key=lambda k: self._free[k].nbytes))
            else:
                block = _aligned(size)
            self._used += block.nbytes
            self._most = max(self._most, self._used)
            # Other sizes than before: the oldest blocks make room.
            spare = sum(b.nbytes for b in self._free) + self._used - self._most * 3 // 2
            while spare > 0:
                spare -= self._free.pop(0).nbytes
            return block

    def _settle(self) -> None:
        while self._back:
            block = self._back.popleft()
            self._used -= block.nbytes
            self._free.append(block)


def _aligned(size: int) -> np.ndarray:
    wide = np.empty(size + _LINE, dtype=np.uint8)
    start = -wide.ctypes.data % _LINE
    return wide[start : start + size]
