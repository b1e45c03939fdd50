"""Folders for a moment, which do not outlive their process, however it ends.

Each lies in ``<cache folder>/scratch`` with a lock beside it. The lock of a killed process is free:
the next process on the machine that opens a scratch folder removes what belonged to it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType

from lerobot_pipelines.storage.file_lock import FileLock

CACHE_VARIABLE = "LEROBOT_PIPELINES_CACHE"
FOLDER = "scratch"
LOCK_SUFFIX = ".lock"
# For what has no lock: more than any run lasts.
ABANDONED_AFTER_S = 24 * 3600.0

_swept: set[tuple[int, Path]] = set()
_sweeping = threading.Lock()


def default_cache_dir() -> Path:
    """``$LEROBOT_PIPELINES_CACHE``, else a folder in the system's temporary directory.

    That one is each user's own: the first user's would be closed to all others.
    """
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named or Path(tempfile.gettempdir()) / f"lerobot_pipelines-{os.getuid()}")


class ScratchFolder:
    """An empty folder of one's own below ``cache_dir``; ``cleanup`` or the ``with`` removes it.

    Raises ``OSError`` where it cannot be made.
    """

    def __init__(self, cache_dir: Path | None = None) -> None:
        above = (cache_dir or default_cache_dir()) / FOLDER
        sweep_once(above.parent)
        name = secrets.token_hex(8)
        self.path = above / name
        lock = FileLock(above / f"{name}{LOCK_SUFFIX}")
        lock.acquire()
        try:
            self.path.mkdir()
        except BaseException:
            lock.remove()
            raise
        self._finalizer = weakref.finalize(self, _remove, self.path, lock, os.getpid())

    @property
    def name(self) -> str:
        return str(self.path)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cleanup()

    def cleanup(self) -> None:
        self._finalizer()


def sweep_once(cache_dir: Path) -> None:
    """``sweep``, the first time that this process asks for it; ``OSError`` is passed over."""
    with _sweeping:
        place = (os.getpid(), cache_dir)
        if place in _swept:
            return
        _swept.add(place)
        try:
            sweep(cache_dir)
        except OSError:
            return  # another process sweeps as well, or the folder is not ours to clean


def sweep(cache_dir: Path) -> None:
    """Remove the scratch folders of processes that were killed, and remains without a lock.

    Raises ``OSError`` where the folder cannot be read.
    """
    above = cache_dir / FOLDER
    now_s = time.time()
    if above.is_dir():
        names = set(os.listdir(above))
        for name in names:
            if name.endswith(LOCK_SUFFIX):
                with FileLock(above / name) as lock:
                    if lock.acquire(blocking=False):
                        shutil.rmtree(above / name.removesuffix(LOCK_SUFFIX), ignore_errors=True)
                        lock.remove()
            elif f"{name}{LOCK_SUFFIX}" not in names:
                _remove_if_old(above / name, now_s)
    for pattern in ("step-*", "first_passes/.*", "raw_index/*.json.*"):
        for remains in cache_dir.glob(pattern):
            _remove_if_old(remains, now_s)


def _remove_if_old(path: Path, now_s: float) -> None:
    try:
        if now_s - path.lstat().st_mtime < ABANDONED_AFTER_S:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return


def _remove(path: Path, lock: FileLock, owner: int) -> None:
    if os.getpid() != owner:  # a forked child inherits the object, not the folder
        return
    shutil.rmtree(path, ignore_errors=True)
    lock.remove()
