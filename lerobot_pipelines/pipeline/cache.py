"""Recordings fetched to this machine, shared by the steps and processes that read them.

Each lies in a folder named after its fingerprint, so other content is another folder. A lock per
recording is held exclusively while it is fetched or thrown away, and shared while it is read:
nobody fetches twice, and nothing in use is removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lerobot_pipelines.storage.disk import is_full, named_when_full

REMEDY = (
    "free some, lower storage.cache_size_gb, or name a folder on a larger disk in "
    "$LEROBOT_PIPELINES_CACHE"
)
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
            now_ns = time.time_ns()  # finer than the time the system would set
            os.utime(place / COMPLETE, ns=(now_ns, now_ns))
            yield place

    def _fill(self, place: Path, size: int, fetch: Callable[[Path], None]) -> None:
        self._make_room(size)
        with named_when_full(self.folder, REMEDY):
            try:
                self._fetched(place, size, fetch)
            except Exception as error:
                # Others write to the same disk: what nobody reads goes, and once more.
                if not is_full(error) or not self._make_room(self.limit_bytes):
                    raise
                self._fetched(place, size, fetch)

    def _fetched(self, place: Path, size: int, fetch: Callable[[Path], None]) -> None:
        shutil.rmtree(place, ignore_errors=True)  # what a killed process left
        try:
            place.mkdir(parents=True)
            fetch(place)
            (place / COMPLETE).write_text(str(size))
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise

    def _make_room(self, size: int) -> int:
        """Throws away what was not used for longest; the bytes that are free now."""
        freed = 0
        kept = sorted(self._kept())
        total = sum(bytes_kept for _, _, bytes_kept in kept)
        for _, marker, bytes_kept in kept:
            if total + size <= self.limit_bytes:
                break
            with self._lock(marker.parent.name) as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:  # somebody reads it
                    continue
                total -= bytes_kept
                if marker.exists():  # else another process was faster
                    freed += bytes_kept
                    marker.unlink()
                    shutil.rmtree(marker.parent)
        return freed

    def _kept(self) -> Iterator[tuple[int, Path, int]]:
        """When it was last used, its marker and its size, of every recording."""
        for marker in self.folder.glob(f"*/{COMPLETE}"):
            with suppress(FileNotFoundError):  # another process makes room as well
                yield marker.stat().st_mtime_ns, marker, int(marker.read_text())

    @contextmanager
    def _lock(self, fingerprint: str) -> Iterator[int]:
        path = self.folder / "locks" / fingerprint
        with named_when_full(self.folder, REMEDY):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            yield lock
        finally:
            os.close(lock)  # releases it, also for a process that is killed
