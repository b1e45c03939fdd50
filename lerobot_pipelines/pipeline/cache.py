"""Recordings fetched to this machine, shared by the steps and processes that read them.

Each lies in a folder named after its fingerprint, so other content is another folder. A lock per
recording is held exclusively while it is fetched or thrown away, and shared while it is read:
nobody fetches twice, and nothing in use is removed. What a killed process had fetched in part goes
when the next one first looks into the cache.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lerobot_pipelines.storage.disk import is_full, named_when_full
from lerobot_pipelines.storage.file_lock import FileLock

REMEDY = (
    "free some, lower storage.cache_size_gb, or name a folder on a larger disk in "
    "$LEROBOT_PIPELINES_CACHE"
)
COMPLETE = ".complete"  # holds the size in bytes; its time is that of the last use
EXPECTED = ".expected"  # the same of a recording that is being fetched
LOCKS = "locks"
ROOM = ".room"  # the lock of whoever decides what is thrown away
# Between two looks at a recording that another one is about to fetch.
LOOK_AGAIN_S = (0.005, 0.05)

_swept: set[tuple[int, Path]] = set()
_sweeping = threading.Lock()


@dataclass(frozen=True, slots=True)
class RecordingCache:
    """``limit_bytes`` bounds what is kept and what is on the way; one recording being read may
    exceed it alone."""

    folder: Path
    limit_bytes: int

    @contextmanager
    def held(self, fingerprint: str, size: int, fetch: Callable[[Path], None]) -> Iterator[Path]:
        """The folder of a recording, filled by ``fetch`` if need be, kept until the block ends."""
        self._sweep_once()
        place = self.folder / fingerprint
        with FileLock(self.folder / LOCKS / fingerprint) as lock:
            while True:
                self._acquire(lock, shared=True)
                if (place / COMPLETE).exists():
                    break
                # Never waited for: whoever fills it first goes on holding it to read.
                if not self._acquire(lock, blocking=False):
                    lock.release()
                    time.sleep(random.uniform(*LOOK_AGAIN_S))
                # A shared lock cannot be exchanged for an exclusive one in one step: look again.
                elif not (place / COMPLETE).exists():
                    self._fill(place, size, fetch)
            now_ns = time.time_ns()  # finer than the time the system would set
            os.utime(place / COMPLETE, ns=(now_ns, now_ns))
            yield place

    def sweep(self) -> None:
        """Throw away what killed processes left: recordings fetched in part, locks of nothing."""
        locks = self.folder / LOCKS
        names = {path.name for path in self.folder.glob("*/") if path.name != LOCKS}
        names |= set(os.listdir(locks)) if locks.is_dir() else set()
        for name in names - {ROOM}:
            place = self.folder / name
            if (place / COMPLETE).exists():
                continue
            with FileLock(locks / name) as lock:
                if lock.acquire(blocking=False) and not (place / COMPLETE).exists():
                    shutil.rmtree(place, ignore_errors=True)
                    lock.remove()

    def _sweep_once(self) -> None:
        with _sweeping:
            place = (os.getpid(), self.folder)
            if place in _swept:
                return
            _swept.add(place)
            with suppress(OSError):  # nothing depends on it
                self.sweep()

    def _acquire(self, lock: FileLock, *, shared: bool = False, blocking: bool = True) -> bool:
        with named_when_full(self.folder, REMEDY):
            return lock.acquire(shared=shared, blocking=blocking)

    def _fill(self, place: Path, size: int, fetch: Callable[[Path], None]) -> None:
        with named_when_full(self.folder, REMEDY):
            try:
                self._fetched(place, size, self.limit_bytes - size, fetch)
            except Exception as error:
                # Others write to the same disk: what nobody reads goes, and once more.
                if not is_full(error) or not self._make_room(0):
                    raise
                self._fetched(place, size, 0, fetch)

    def _fetched(
        self, place: Path, size: int, others_bytes: int, fetch: Callable[[Path], None]
    ) -> None:
        try:
            self._make_room(others_bytes, place, size)
            fetch(place)
            (place / EXPECTED).replace(place / COMPLETE)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise

    def _make_room(self, most_bytes: int, place: Path | None = None, size: int = 0) -> int:
        """Throws away what was not used for longest until the rest has at most ``most_bytes``.

        The bytes that are free now. ``place`` is then announced, so that two that are fetched at
        the same time know of one another.
        """
        with FileLock(self.folder / LOCKS / ROOM) as room:
            self._acquire(room)
            if place is not None:
                shutil.rmtree(place, ignore_errors=True)  # what a killed process left
            freed = self._thrown_away(most_bytes)
            if place is not None:
                place.mkdir(parents=True)
                (place / EXPECTED).write_text(str(size))
        return freed

    def _thrown_away(self, most_bytes: int) -> int:
        freed = 0
        kept = sorted(self._kept())
        total = sum(bytes_kept for _, _, bytes_kept in kept)
        for _, place, bytes_kept in kept:
            if total <= most_bytes:
                break
            with FileLock(self.folder / LOCKS / place.name) as lock:
                # Held: somebody reads it, or fetches it.
                if lock.acquire(blocking=False):
                    total -= bytes_kept
                    freed += bytes_kept
                    (place / COMPLETE).unlink(missing_ok=True)
                    shutil.rmtree(place, ignore_errors=True)
                    lock.remove()
        return freed

    def _kept(self) -> Iterator[tuple[int, Path, int]]:
        """When it was last used, its folder and its size, also of those that are on the way."""
        for name in (COMPLETE, EXPECTED):
            for marker in self.folder.glob(f"*/{name}"):
                # Another process makes room as well, or died while it wrote the size.
                with suppress(FileNotFoundError, ValueError):
                    yield marker.stat().st_mtime_ns, marker.parent, int(marker.read_text())
