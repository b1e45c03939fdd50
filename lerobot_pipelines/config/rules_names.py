"""Which names and paths may become folders in a bucket or on a disk."""

from __future__ import annotations

MAX_NAME_BYTES = 255


def path_fault(path: str) -> str | None:
    """What is wrong with a relative path with ``/``, as the rest of a sentence."""
    if not path:
        return "is empty"
    if path.startswith(("/", "~")):
        return "is not relative"
    if "\\" in path:
        return "holds a backslash; folders are separated by /"
    if not path.isprintable():
        return "holds a control character"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f'holds the part "{part}"' if part else 'holds an empty part ("//")'
        if len(part.encode()) > MAX_NAME_BYTES:
            return f"holds a part longer than {MAX_NAME_BYTES} bytes"
    return None


def name_fault(name: str) -> str | None:
    """The same for the name of one file or folder."""
    return 'holds "/"' if "/" in name else path_fault(name)


def inside(inner: str, outer: str) -> bool:
    """Whether the folder ``inner`` is ``outer`` or lies below it. The empty path holds all."""
    return not outer or inner == outer or inner.startswith(f"{outer}/")
