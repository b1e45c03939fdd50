"""Files that are there whole or not at all, also after the power went."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable
from pathlib import Path

_LOOK_EVERY_S = 0.05


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write a small file so that no reader, now or after a crash, sees a part of it."""
    work = path.with_name(f".{path.name}.tmp")
    with work.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(work, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(paths: Iterable[Path]) -> None:
    """Make the content of files, and their names, survive a power loss."""
    folders = set()
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        folders.add(path.parent)
    for folder in folders:
        sync_folder(folder)


def sync_tree(folder: Path) -> None:
    """Make a folder with all that is in it survive a power loss.

    File by file: one ``syncfs`` would also wait for whatever else the computer is writing.
    """
    paths = list(folder.rglob("*"))
    sync_files(path for path in paths if path.is_file())
    for path in (*(path for path in paths if path.is_dir()), folder):
        sync_folder(path)


class SpoolInUse(RuntimeError):
    """Another process records into the same place."""


class FolderLock:
    """Held by one process at a time, and let go by the system when that ends, however it does.

    Waits ``patience_s`` for one that is about to end. Raises ``SpoolInUse``.
    """

    def __init__(self, folder: Path, patience_s: float = 0.0) -> None:
        self._file = (folder / "lock").open("wb")
        until = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() >= until:
                    break
            time.sleep(_LOOK_EVERY_S)
        self._file.close()
        raise SpoolInUse(f"another process records here: {folder} is locked")

    def release(self) -> None:
        self._file.close()
