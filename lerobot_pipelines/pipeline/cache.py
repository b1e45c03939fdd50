"""Recordings fetched to this machine, shared by the steps and processes that read them.

Each lies in a folder named after its fingerprint, so other content is another folder. A lock per
recording is held exclusively while it is fetched or thrown away, and shared while it is read:
nobody fetches twice, and nothing in use is removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMPLETE = ".complete"  # holds the size in bytes; its time is that of the last use


@dataclass(frozen=True, slots=True)
class RecordingCache:
    """``limit_bytes`` bounds what is kept; the recording being read may exceed it alone."""

    folder: Path
    limit_bytes: int

    @contextmanager
    def held(self, fingerprint: str, size: int, fetch: Callable[[Path], None]) -> Iterator[Path]:
        """The folder of a recording, filled by ``fetch`` if need be, kept until the block ends."""
        place = self.folder / fingerprint
        with self._lock(fingerprint) as lock:
            while True:
                fcntl.flock(lock, fcntl.LOCK_SH)
                if (place / COMPLETE).exists():
                    break
                # A shared lock cannot be exchanged for an exclusive one in one step: look again.
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not (place / COMPLETE).exists():
                    self._fill(place, size, fetch)
            os.utime(place / COMPLETE)
            yield place

    def _fill(self, place: Path, size: int, fetch: Callable[[Path], None]) -> None:
        self._make_room(size)
        shutil.rmtree(place, ignore_errors=True)  # what a killed process left
        place.mkdir(parents=True)
        try:
            fetch(place)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        (place / COMPLETE).write_text(str(size))

    def _make_room(self, size: int) -> None:
        kept = sorted(self.folder.glob(f"*/{COMPLETE}"), key=lambda marker: marker.stat().st_mtime)
        total = sum(int(marker.read_text()) for marker in kept)
        for marker in kept:
            if total + size <= self.limit_bytes:
                return
            with self._lock(marker.parent.name) as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:  # somebody reads it
                    continue
                total -= int(marker.read_text())
                marker.unlink()
                shutil.rmtree(marker.parent)

    @contextmanager
    def _lock(self, fingerprint: str) -> Iterator[int]:
        path = self.folder / "locks" / fingerprint
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            yield lock
        finally:
            os.close(lock)  # releases it, also for a process that is killed
