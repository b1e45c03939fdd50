"""Versions of a local file: telling them apart, and replacing exactly the one that was seen.

An ETag is a file's size and modification time, so a bucket that was copied, moved or restored with
its times (``cp -a``, ``rsync -a``, a snapshot) is the same bucket. Inodes are no part of it, and
neither is the change time, which ``chown`` and snapshots made of hard links touch. Two writes of
equal size within one tick of the file system's clock are told apart because the second one is dated
a nanosecond behind the first.

The file system has no "replace if unchanged", so those who do it take turns: a lock file in the
bucket's root is held for the moment between the look and the rename. It goes with the process that
holds it. Network mounts must carry ``flock`` between machines (NFS since version 4 does).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lerobot_pipelines.errors import Transient

TEMPORARY_PREFIX = ".lerobot-pipelines-tmp-"
LOCK_NAME = f"{TEMPORARY_PREFIX}lock"

# Held for a rename only: who waits longer waits for a process that was stopped in the middle.
LOCK_WAIT_S = 20.0
_LOCK_POLL_S = 0.01

# What was written until version 0.1 ended in the file's inode.
_WITH_INODE = re.compile(r"(\d+-[0-9a-f]+)-[0-9a-f]+")


def etag_of(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns:x}"


def lasting_etag(etag: str) -> str:
    """The ETag as it is told now, of one that an earlier version wrote down; others unchanged."""
    found = _WITH_INODE.fullmatch(etag)
    return found[1] if found else etag


def date_apart(new: Path, there: Path) -> None:
    """Give ``new``, which is about to replace ``there``, an ETag that ``there`` never had."""
    try:
        old = there.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    status = new.stat()
    if status.st_size != old.st_size or status.st_mtime_ns > old.st_mtime_ns:
        return
    if status.st_nlink > 1:  # its other names keep their time
        if etag_of(status) != etag_of(old) or os.path.samestat(status, old):
            return
        copy = new.with_name(f"{new.name}-apart")
        shutil.copyfile(new, copy)
        os.replace(copy, new)
    os.utime(new, ns=(status.st_atime_ns, old.st_mtime_ns + 1))


@contextmanager
def taking_turns(root: Path) -> Iterator[None]:
    """Alone, of all processes that replace or remove what they saw in this bucket.

    Raises ``Transient`` when another one does not come to its end.
    """
    root.mkdir(parents=True, exist_ok=True)
    handle = os.open(root / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        until_s = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until_s:
                    raise Transient(
                        f"another process holds {root / LOCK_NAME} since {LOCK_WAIT_S:g} s; "
                        "if it was stopped, end it"
                    ) from None
                time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(handle)
