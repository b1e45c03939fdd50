"""Which pictures are usable, by their first and last bytes; all of them only where these leave a
doubt."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from lerobot_pipelines.pictures.jpeg import has_end

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"

#: What a verdict needs of a picture: so many of its first and of its last bytes.
HEAD_BYTES = 64
#: Cameras fill the last bytes of a JPEG up to a multiple of their transfer size.
TAIL_BYTES = 256

#: Read by Pillow.
PILLOW_ENCODINGS = ("bmp", "tiff", "webp", "pnm")
#: Pictures that stand for themselves, as opposed to raw pixels and packets of a video.
ENCODINGS = ("jpeg", "png", *PILLOW_ENCODINGS)

# Kinds that are recognised to be named.
_NAMED = (
    (b"GIF8", "a GIF"),
    (b"version https://git-lfs", "a git-lfs pointer"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x00\x00\x00\x01", "packets of a video (H.264 or H.265)"),
    (b"<", "a text (HTML or XML)"),
    (b"{", "a text (JSON)"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
)
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})


class Verdict(NamedTuple):
    """``encoding`` of a usable picture, else ``fault``, a reason code, with its ``detail``."""

    encoding: str = ""
    fault: str = ""
    detail: str = ""


def kind_of(head: bytes) -> str | None:
    """The encoding that a picture which begins so has; None if it is none that can be read."""
    if head.startswith(JPEG_START):
        return "jpeg"
    if head.startswith(PNG_START):
        return "png"
    if head[:2] == b"BM" and len(head) >= 18 and head[14] in _BMP_HEADERS and not any(head[15:18]):
        return "bmp"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "tiff"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:1] == b"P" and head[1:2] in b"2356" and head[2:3].isspace():
        return "pnm"
    return None


def encoding_of(data: bytes) -> Verdict:
    """The verdict on a picture that is there as a whole."""
    return fault_of(data[:HEAD_BYTES], data[-TAIL_BYTES:], len(data), lambda: data)


def fault_of(head: bytes, tail: bytes, size: int, whole: Callable[[], bytes]) -> Verdict:
    """The verdict on a picture of ``size`` bytes.

    ``head`` are its first ``HEAD_BYTES``, ``tail`` its last ``TAIL_BYTES``, or all where it has
    fewer. ``whole`` gives all of it; it is called for JPEGs that do not end where the file does:
    some cameras leave kilobytes of padding or of an earlier picture behind.
    """
    if size == 0:
        return Verdict(fault="empty")
    encoding = kind_of(head)
    if encoding is None:
        return _unknown(head)
    if encoding == "jpeg":
        is_whole = JPEG_END in tail or has_end(whole())
    elif encoding == "png":
        is_whole = PNG_END in tail
    else:
        is_whole = size >= _least_size(encoding, head)
    return Verdict(encoding) if is_whole else Verdict(fault="truncated")


def _unknown(head: bytes) -> Verdict:
    name = next((name for start, name in _NAMED if head.startswith(start)), None)
    if name == "a git-lfs pointer":
        return Verdict(fault="lfs_pointer", detail=f"it is {name}: run `git lfs pull`")
    readable = ", ".join(ENCODINGS)
    detail = f"it is {name}" if name else f"it begins with {head[:8]!r}"
    return Verdict(fault="not_a_picture", detail=f"{detail}; known are {readable}")


def _least_size(encoding: str, head: bytes) -> int:
    """Bytes that a whole picture of these has at least, as far as its head says."""
    try:
        if encoding == "webp":
            return int(struct.unpack_from("<I", head, 4)[0]) + 8
        if encoding == "bmp":
            return _bmp_size(head)
        if encoding == "tiff":
            # The directory, with at least one entry, is where the head says.
            return int(struct.unpack_from("<I" if head[:1] == b"I" else ">I", head, 4)[0]) + 14
    except struct.error:
        return len(head) + 1
    return 0


def _bmp_size(head: bytes) -> int:
    start, header = struct.unpack_from("<II", head, 10)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", head, 18)
    if compression not in (0, 3):  # run lengths: as short as they like
        return int(start)
    return int(start + (abs(width) * bits + 31) // 32 * 4 * abs(height))
