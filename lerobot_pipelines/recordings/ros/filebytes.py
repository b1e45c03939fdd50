"""A file read by position, every length checked against the file's size before it is believed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lerobot_pipelines.model import Fault

# Large enough to hide system calls, small against the memory of a conversion.
SEARCH_WINDOW_BYTES = 4 << 20


class OutOfFile(Exception):
    """A length or an offset that the file cannot hold."""


class FileBytes:
    """A file opened for reading by position."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.size = os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes; raises ``OutOfFile`` if the file has not that many."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise OutOfFile(f"{length} bytes at {offset} of {self.size}")
        data = os.pread(self._descriptor, length, offset)
        while len(data) < length:  # pread returns at most 2 GiB, and less on a file that shrank
            more = os.pread(self._descriptor, length - len(data), offset + len(data))
            if not more:
                raise OutOfFile(f"{self.path} became shorter while it was read")
            data += more
        return data

    def read_upto(self, offset: int, length: int) -> bytes:
        """At most ``length`` bytes: fewer at the end of the file."""
        return self.read(offset, max(0, min(length, self.size - offset)))

    def search(self, pattern: bytes, start: int) -> Iterator[int]:
        """Offsets of ``pattern`` from ``start`` on, ascending, without holding the file."""
        overlap = len(pattern) - 1
        position = max(start, 0)
        while position < self.size:
            window = self.read_upto(position, SEARCH_WINDOW_BYTES + overlap)
            found = window.find(pattern)
            while found >= 0:
                yield position + found
                found = window.find(pattern, found + 1)
            position += SEARCH_WINDOW_BYTES

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Ahead:
    """Small reads that follow one another closely, from one larger one."""

    def __init__(self, file: FileBytes, ahead_bytes: int = 4096) -> None:
        self._file = file
        self._ahead = ahead_bytes
        self._start = 0
        self._window = memoryview(b"")

    def upto(self, position: int, length: int) -> memoryview:
        """At most ``length`` bytes: fewer at the end of the file."""
        start = position - self._start
        if start < 0 or start + length > len(self._window):
            window = self._file.read_upto(position, max(length, self._ahead))
            self._window, self._start, start = memoryview(window), position, 0
        return self._window[start : start + length]

    def exactly(self, position: int, length: int) -> memoryview:
        """Raises ``OutOfFile`` if the file has not that many."""
        found = self.upto(position, length)
        if len(found) < length:
            raise OutOfFile(f"{length} bytes at {position} of {self._file.size}")
        return found


def hole_fault(file: FileBytes, start: int, end: int | None) -> Fault:
    """What to report of bytes that are no records; ``end`` is None if none follow."""
    stop = file.size if end is None else end
    zeros = not any(file.read_upto(start, min(stop - start, 1 << 16)))
    reason = "zero_tail" if zeros else "truncated" if end is None else "damaged_bytes"
    return Fault("", f"bytes {start} to {stop}", reason)
