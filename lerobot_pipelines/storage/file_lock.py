"""Locks between processes of one machine, as files that may be thrown away.

The system frees the lock of a process that is killed. Its file stays; whoever holds the lock
exclusively may remove it, and all others notice that theirs is not the one in the folder any more.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType


class FileLock:
    """Not held at first; a context manager that frees it at the end. One user, one thread.

    A file on a shared file system locks across machines where ``flock`` does there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def acquire(self, *, shared: bool = False, blocking: bool = True) -> bool:
        """Take the lock, or exchange the kind that is held (not in one step: look again).

        False only if another process holds it and ``blocking`` is False. Raises ``OSError`` where
        the file cannot be made.
        """
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while True:
            if self._descriptor is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self._descriptor, kind if blocking else kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if self._is_in_place():
                return True
            self.release()  # its last holder removed the file while we waited

    def remove(self) -> None:
        """Free it and take its file away; only while it is held exclusively."""
        self._path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _is_in_place(self) -> bool:
        assert self._descriptor is not None
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        mine = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
