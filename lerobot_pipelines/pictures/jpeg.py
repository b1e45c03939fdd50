"""What the markers of a JPEG say, without decoding it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_START = b"\xff\xd8"
_END = b"\xff\xd9"
_SCAN = 0xDA
_EXIF = 0xE1
# SOF0 to SOF15; C4 (Huffman tables), C8 (reserved) and CC (arithmetic tables) are no frame headers.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE = 0xC0
_ORIENTATION = 0x0112


class NotAJpeg(ValueError):
    """The bytes are not one whole JPEG; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """``sampling`` holds (horizontal, vertical) factors per component: ((2, 2), (1, 1), (1, 1))
    is 4:2:0. ``orientation`` is EXIF's 1 to 8, where 1 is upright."""

    width: int
    height: int
    baseline: bool
    sampling: tuple[tuple[int, int], ...]
    orientation: int = 1


def has_end(data: bytes) -> bool:
    """Whether a JPEG's scan ends. The end of a thumbnail among the metadata does not count."""
    try:
        for marker, position in _segments(data):
            if marker == _SCAN:
                return data.find(_END, position) >= 0
    except NotAJpeg:
        pass
    return False


def read_header(data: bytes) -> JpegHeader:
    """The header of a JPEG that is there to its end. Raises ``NotAJpeg``.

    Bytes after the end marker are allowed: some cameras pad their pictures.
    """
    if data[:2] != _START:
        raise NotAJpeg("it does not begin as a JPEG does")
    if data.rfind(_END) < 0:
        raise NotAJpeg("it ends before its end marker, so it is cut off")
    orientation = 1
    for marker, position in _segments(data):
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + length]
        if marker in _FRAMES:
            return _frame_header(marker, body, orientation)
        if marker == _SCAN:
            break
        if marker == _EXIF and body[:6] == b"Exif\0\0":
            orientation = exif_orientation(body[6:])
    raise NotAJpeg("it has no frame header")


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers that have a body, with their places, up to the first scan. Raises ``NotAJpeg``."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise NotAJpeg(f"byte {position} should begin a marker")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a body
            position += 2
        else:
            yield marker, position
            if marker == _SCAN:
                return
            position += 2 + max(int.from_bytes(data[position + 2 : position + 4], "big"), 2)


def _frame_header(marker: int, body: bytes, orientation: int) -> JpegHeader:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise NotAJpeg("its frame header is cut off")
    height, width = struct.unpack_from(">HH", body, 1)
    if not width or not height:
        raise NotAJpeg(f"it says it is {width}x{height} pixels large")
    factors = [body[7 + 3 * component] for component in range(body[5])]
    return JpegHeader(
        width=width,
        height=height,
        baseline=marker == _BASELINE and body[0] == 8,
        sampling=tuple((factor >> 4, factor & 15) for factor in factors),
        orientation=orientation,
    )


def exif_orientation(tiff: bytes) -> int:
    """EXIF's 1 to 8 from the TIFF structure that holds the metadata; 1 if it says nothing."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        if order is None:
            return 1
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(entries):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, directory + 2 + 12 * entry)
            if tag == _ORIENTATION and kind == 3:  # SHORT
                (value,) = struct.unpack_from(f"{order}H", tiff, directory + 10 + 12 * entry)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:  # damaged metadata does not spoil the picture
        return 1
    return 1
