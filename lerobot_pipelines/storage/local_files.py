"""Files that are whole on the disk before anybody sees them under their name."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from lerobot_pipelines.storage.local_versions import date_apart

# What Linux answers where the file system has no hard links (FAT, some mounts).
NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
# ... or where this file cannot have another one here.
CANNOT_LINK = NO_HARD_LINKS | {errno.EXDEV, errno.EMLINK}


def write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def replace_file(temporary: Path, path: Path) -> None:
    date_apart(temporary, path)
    os.replace(temporary, path)


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file that is already on the disk, or a copy on another file system."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
        copy_synced(source, target)


def sync_file(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def copy_synced(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.fsync(writing.fileno())


def sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the file system can."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)
