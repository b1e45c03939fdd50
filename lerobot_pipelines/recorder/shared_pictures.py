"""Memory that the control loop and the recorder's process share, for pictures on their way.

A picture is copied into a slot once, and a slot is used again as soon as its picture is encoded:
the one freed last first, so that few pages are touched and all of them are warm. The memory has no
name and goes away with the processes that hold it, however they end.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

# What slots are multiples of: JPEGs, no two of which are equally large, then share some sizes.
_PAGE = 1 << 14
# Pages that a control loop touches first cost it; of these it does not. MADV_POPULATE_WRITE.
_READY_BYTES, _POPULATE_WRITE = 32 << 20, 23
# 8K; the memory is used page by page, so unused room costs nothing.
_LARGEST_PICTURE = 100 << 20


class SharedMemory:
    """``size`` bytes, to be mapped by both processes; ``descriptor`` is inherited by the other."""

    def __init__(self, size: int, descriptor: int | None = None) -> None:
        self.size = size
        self.descriptor = _nameless() if descriptor is None else descriptor
        if descriptor is None:
            os.ftruncate(self.descriptor, size)
        self._map = mmap.mmap(self.descriptor, size)
        if descriptor is None:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                self._map.madvise(_POPULATE_WRITE, 0, min(size, _READY_BYTES))

    def array(self, offset: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The bytes at ``offset`` as a picture, or whatever else has that shape."""
        return np.ndarray(shape, np.uint8, buffer=self._map, offset=offset)

    def close(self) -> None:
        """Let go of it; what arrays still use stays until they are gone."""
        os.close(self.descriptor)


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pictures")
    with tempfile.TemporaryFile() as file:  # not Linux
        return os.dup(file.fileno())


class Slots:
    """Which parts of a memory of ``size`` bytes are in use, at most ``budget`` of them, or one
    slot if that is larger, and at most ``most`` slots. For one thread."""

    def __init__(self, size: int, budget: int, most: int = 1 << 13) -> None:
        self._size = size
        self._most = most
        self._budget = budget
        self._fresh = 0  # from here on nothing was ever used
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        self._used: dict[int, int] = {}
        self._used_bytes = 0

    def take(self, count: int) -> int | None:
        """The offset of a slot of ``count`` bytes, None while there is no room.

        Raises ``ValueError`` for more than there will ever be.
        """
        length = -(-count // _PAGE) * _PAGE
        if length > self._size:
            raise ValueError(f"a picture of {count} bytes is larger than max_pending_bytes")
        if self._used and self._used_bytes + length > self._budget:
            return None
        if len(self._used) >= self._most:
            return None
        if not self._used and not self._free.get(length):
            # Sizes have changed; nothing holds the old division in place.
            self._fresh = 0
            self._free.clear()
        if free := self._free.get(length):
            offset = free.pop()
        elif self._fresh + length > self._size:
            return None
        else:
            offset, self._fresh = self._fresh, self._fresh + length
        self._used[offset] = length
        self._used_bytes += length
        return offset

    def give_back(self, offset: int) -> None:
        length = self._used.pop(offset)
        self._used_bytes -= length
        self._free[length].append(offset)


def memory_for(max_bytes: int) -> int:
    """How much to share so that ``max_bytes`` of pictures find room, and at least one large one."""
    return -(-max(max_bytes, _LARGEST_PICTURE) // _PAGE) * _PAGE
