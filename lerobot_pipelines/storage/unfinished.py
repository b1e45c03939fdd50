"""What broken uploads leave: no reader sees it, and the bucket's owner pays for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from lerobot_pipelines.storage.base import Storage
from lerobot_pipelines.storage.local_versions import LOCK_NAME, TEMPORARY_PREFIX


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload that was begun and not ended; ``discard`` makes the store forget it."""

    key: str
    size: int  # bytes that are known to be taken
    begun_ns: int
    discard: Callable[[], None]


@runtime_checkable
class KeepsUnfinished(Protocol):
    """A store that keeps the parts of an upload until it is completed or aborted."""

    def unfinished(self, prefix: str) -> Iterator[Unfinished]: ...


def unfinished_uploads(storage: Storage, prefix: str) -> Iterator[Unfinished]:
    """All below ``prefix``, those of uploads under way included: mind their age."""
    if isinstance(storage, KeepsUnfinished):
        yield from storage.unfinished(prefix)
        return
    root = storage.local_path("")
    folder = storage.local_path(prefix)
    if root is None or folder is None:
        return
    for above, _, names in os.walk(folder):
        for name in names:
            if name.startswith(TEMPORARY_PREFIX) and name != LOCK_NAME:
                path = Path(above, name)
                with suppress(FileNotFoundError):
                    status = path.stat()
                    begun_ns = max(status.st_mtime_ns, status.st_ctime_ns)
                    key = path.relative_to(root).as_posix()
                    yield Unfinished(key, status.st_size, begun_ns, _removal(path))


def _removal(path: Path) -> Callable[[], None]:
    return lambda: path.unlink(missing_ok=True)
