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
_MAX_PIXELS = 1 << 24
# A difference of 17 bits takes six nibbles, a run that ends after one pixel two more.
_MAX_BYTES_PER_PIXEL = 4
_MAX_NIBBLES = 11  # of a number of 32 bits
_WORDS_AT_ONCE = 1 << 16
_SHIFTS = np.arange(28, -4, -4, dtype=np.uint32)


class BadRvl(ValueError):
    """The data are no RVL picture."""


def decode_rvl(data: bytes, max_pixels: int = _MAX_PIXELS) -> NDArray[np.uint16]:
    """The pixels of a compressedDepth message, (rows, columns).

    Raises ``BadRvl``, also for more than ``max_pixels``: zeros take no room in the data, so that
    nothing else bounds a picture.
    """
    if len(data) < _HEADER_BYTES + _SIZE.size:
        raise BadRvl("cut short")
    columns, rows = _SIZE.unpack_from(data, _HEADER_BYTES)
    if not 0 < columns * rows <= min(max_pixels, _MAX_PIXELS):
        raise BadRvl(f"{columns} x {rows} pixels")
    packed = data[_HEADER_BYTES + _SIZE.size :]
    if len(packed) > _MAX_BYTES_PER_PIXEL * columns * rows + 64:
        raise BadRvl(f"{len(packed)} bytes for {columns} x {rows} pixels")
    numbers = _numbers(packed)
    pixels = np.zeros(columns * rows, dtype=np.uint16)
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
            found = previous + np.cumsum((steps >> 1) ^ -(steps & 1))
            if found.min() < 0 or found.max() > np.iinfo(np.uint16).max:
                raise BadRvl("distances out of range")
            pixels[start:end] = found
            previous = int(found[-1])
        at, taken = end, taken + 2 + present
    return pixels.reshape(rows, columns)


def _numbers(data: bytes) -> NDArray[np.int64]:
    """All numbers of the stream; what fills the last word up comes out as zeros."""
    words = np.frombuffer(data, dtype="<u4", count=len(data) // 4)
    found = []
    rest = np.empty(0, np.uint8)  # nibbles of a number that goes on in the next words
    for start in range(0, len(words), _WORDS_AT_ONCE):
        part = words[start : start + _WORDS_AT_ONCE, None]
        nibbles = np.append(rest, ((part >> _SHIFTS) & 15).astype(np.uint8))
        ends = np.flatnonzero(nibbles < 8)
        whole = int(ends[-1]) + 1 if ends.size else 0
        rest = nibbles[whole:]
        if ends.size:
            found.append(_numbers_of(nibbles[:whole], ends))
        if rest.size > _MAX_NIBBLES:
            raise BadRvl("a number of more than 32 bits")
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _numbers_of(nibbles: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_NIBBLES:
        raise BadRvl("a number of more than 32 bits")
    places = np.arange(len(nibbles)) - np.repeat(starts, lengths)
    return np.add.reduceat((nibbles & 7).astype(np.int64) << 3 * places, starts)
