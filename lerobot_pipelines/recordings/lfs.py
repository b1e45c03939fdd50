"""Pointers of git-lfs: what a clone without git-lfs leaves in place of large files.

https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import re
from pathlib import Path

_START = b"version https://git-lfs.github.com/spec/"
_SIZE = re.compile(rb"\nsize (\d{1,18})\n")
# The spec's own limit.
MAX_POINTER_BYTES = 1024

REMEDY = "fetch the files with `git lfs pull`, then upload them again"


def is_pointer(head: bytes) -> bool:
    """Whether a file that begins so is a pointer."""
    return head.startswith(_START)


def pointer_fault(path: Path) -> str | None:
    """What to say of a file that is a pointer, as the end of a sentence; None if it is none."""
    with path.open("rb") as file:
        head = file.read(MAX_POINTER_BYTES)
    if not is_pointer(head):
        return None
    size = _SIZE.search(head)
    of = f" of {int(size.group(1)) / 1e6:.1f} MB" if size else ""
    return f"is a git-lfs pointer to the recording{of}, not the recording; {REMEDY}"
