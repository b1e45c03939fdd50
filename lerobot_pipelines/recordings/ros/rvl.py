"""RVL, the other codec of compressedDepth (Wilson, "Fast Lossless Depth Image Compression", 2017).

A stream of 4-bit nibbles, eight to a little-endian word, the first in the highest bits. A number
is three bits per nibble, the lowest first, and the nibble's high bit says that more follow. The
numbers are: how many pixels without distance come next, how many with one, and of each of these
its difference from the one before, the sign in the lowest bit.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

# compressed_depth_image_transport: its own header, then columns and rows.
_HEADER_BYTES = 12
_SIZE = struct.Struct("<II")
# Larger pictures than any depth camera's are a damaged header.
_MOST_PIXELS = 1 << 26
_LONGEST_NUMBER = 11  # nibbles of 32 bits
_SHIFTS = np.arange(28, -4, -4, dtype=np.uint32)


class BadRvl(ValueError):
    """The data are no RVL picture."""


def decode_rvl(data: bytes) -> NDArray[np.uint16]:
    """The pixels of a compressedDepth message, (rows, columns). Raises ``BadRvl``."""
    if len(data) < _HEADER_BYTES + _SIZE.size:
        raise BadRvl("cut short")
    columns, rows = _SIZE.unpack_from(data, _HEADER_BYTES)
    if not 0 < columns * rows <= _MOST_PIXELS:
        raise BadRvl(f"{columns} x {rows} pixels")
    numbers = _numbers(data[_HEADER_BYTES + _SIZE.size :])
    pixels = np.zeros(columns * rows, dtype=np.int64)
    at = taken = previous = 0
    while at < pixels.size:
        if taken + 2 > numbers.size:
            raise BadRvl("cut short")
        zeros, present = int(numbers[taken]), int(numbers[taken + 1])
        start, end = at + zeros, at + zeros + present
        steps = numbers[taken + 2 : taken + 2 + present]
        if end > pixels.size or steps.size < present or end == at:
            raise BadRvl("runs do not fit the picture")
        if present:
            pixels[start:end] = previous + np.cumsum((steps >> 1) ^ -(steps & 1))
            previous = int(pixels[end - 1])
        at, taken = end, taken + 2 + present
    if pixels.min() < 0 or pixels.max() > np.iinfo(np.uint16).max:
        raise BadRvl("distances out of range")
    return pixels.astype(np.uint16).reshape(rows, columns)


def _numbers(data: bytes) -> NDArray[np.int64]:
    """All numbers of the stream; what fills the last word up comes out as zeros."""
    words = np.frombuffer(data, dtype="<u4", count=len(data) // 4)
    nibbles = ((words[:, None] >> _SHIFTS) & 15).reshape(-1).astype(np.int64)
    ends = np.flatnonzero(nibbles < 8)
    if not ends.size:
        return ends
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST_NUMBER:
        raise BadRvl("a number of more than 32 bits")
    places = np.arange(ends[-1] + 1) - np.repeat(starts, lengths)
    return np.add.reduceat((nibbles[: ends[-1] + 1] & 7) << 3 * places, starts)
