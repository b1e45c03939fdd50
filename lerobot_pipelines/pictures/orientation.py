"""EXIF's orientations, on arrays of pixels and as the matrices of video containers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

_UPRIGHT: Mapping[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}

# The signs of a display matrix's a, b, c, d (av_display_rotation_get): where the axes go.
_OF_MATRIX = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels (height, width, ...) of a picture of that orientation as they are to be seen."""
    turn = _UPRIGHT.get(orientation)
    return pixels if turn is None else turn(pixels)


def orientation_of_matrix(matrix: bytes) -> int:
    """The orientation that a display matrix says (nine numbers of 32 bits, 16.16); 1 for one that
    is no turn by quarters."""
    if len(matrix) != 36:
        return 1
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
    signs = tuple((number > 0) - (number < 0) for number in (a, b, c, d))
    return _OF_MATRIX.get(signs, 1)
