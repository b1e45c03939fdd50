"""A full disk says nothing about the recording: it is named, with the remedy, and tried again."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lerobot_pipelines.errors import Transient

# No space, a user's quota, and a limit on the size of a file.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFull(Transient):
    """There is no room on this machine; another attempt may find some."""


def is_full(error: BaseException) -> bool:
    """Whether a full disk is the cause, also of an error that was raised from it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return True
        cause = cause.__cause__
    return False


@contextmanager
def named_when_full(folder: Path, remedy: str) -> Iterator[None]:
    """Turns errors of a full disk into ``DiskFull`` naming ``folder`` and what to do."""
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:
        if not is_full(error):
            raise
        raise DiskFull(f"no room left in {_where(error, folder)}; {remedy}") from error


def _where(error: BaseException, folder: Path) -> str:
    """The folder of the file that could not be written, if it is known, and what is free there."""
    named = getattr(error, "filename", None)
    place = Path(named).parent if isinstance(named, str) and Path(named).is_absolute() else folder
    with suppress(OSError):
        return f"{place} ({shutil.disk_usage(place).free / 1e6:.0f} MB free)"
    return str(place)
