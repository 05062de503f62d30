"""Memory for calls, used again: fresh pages from the system cost more than many kernels.

A block goes back by itself when the last tensor over it is gone, whoever held it: nothing is
overwritten that a kept graph still reads.
"""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict, deque

import numpy as np
import torch
from torch import Tensor

#: Blocks begin at a line of the cache.
_LINE = 64
#: A block is at most this part larger than what is asked for: sizes of one class share blocks.
_STEPS = 4


class Memory:
    """Blocks of bytes; half as many again are held as have been in use at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Free blocks in the order they came back, and the numbers of those of a size.
        self._free: dict[int, np.ndarray] = {}
        self._of_size: defaultdict[int, list[int]] = defaultdict(list)
        self._next = 0
        #: Blocks that came back. A collection may end tensors anywhere, also in here, so all that
        #: is done then is to add to this.
        self._back: deque[np.ndarray] = deque()
        self._used = self._most = self._held = 0

    def take(self, count: int, dtype: torch.dtype) -> Tensor:
        """A vector of `count` numbers, not initialised."""
        size = max(count, 1) * dtype.itemsize
        block = self._block(size)
        # Tensors share the memory through this view; its end says that they are gone.
        view = block[:size]
        weakref.finalize(view, self._back.append, block).atexit = False
        return torch.from_numpy(view).view(dtype)

    def clear(self) -> None:
        """Gives what is free back to the system."""
        with self._lock:
            self._settle()
            self._free.clear()
            self._of_size.clear()
            self._held = 0
            self._most = self._used

    @property
    def held(self) -> int:
        """Bytes that are kept free."""
        with self._lock:
            self._settle()
            return self._held

    def _block(self, size: int) -> np.ndarray:
        size = _class(size)
        with self._lock:
            self._settle()
            block = self._reused(size)
            if block is None:
                block = _aligned(size)
            self._used += size
            self._most = max(self._most, self._used)
            # Other sizes than before: the oldest blocks make room.
            while self._free and self._held + self._used > self._most * 3 // 2:
                self._held -= self._free.pop(next(iter(self._free))).nbytes
            return block

    def _reused(self, size: int) -> np.ndarray | None:
        """The block of a size that came back last; numbers of those that made room are passed."""
        numbers = self._of_size[size]
        while numbers:
            block = self._free.pop(numbers.pop(), None)
            if block is not None:
                self._held -= size
                return block
        return None

    def _settle(self) -> None:
        while self._back:
            block = self._back.popleft()
            self._used -= block.nbytes
            self._held += block.nbytes
            self._free[self._next] = block
            self._of_size[block.nbytes].append(self._next)
            self._next += 1


def _class(size: int) -> int:
    """The size of the block for a request: a power of two in `_STEPS` steps, in whole lines."""
    step = max(_LINE, (1 << max(size - 1, 1).bit_length()) // (2 * _STEPS))
    return -(-size // step) * step


def _aligned(size: int) -> np.ndarray:
    wide = np.empty(size + _LINE, dtype=np.uint8)
    start = -wide.ctypes.data % _LINE
    return wide[start : start + size]
