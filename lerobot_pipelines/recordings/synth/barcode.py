"""Pictures that say which one they are, also after strong compression and scaling.

The upper two thirds are a grid of dark and bright cells: 16 bits of the number and 8 of a checksum,
so that a picture that cannot be read is an error and never a wrong number. The lower third moves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 6, 4
_NUMBER_BITS, _CHECK_BITS = 16, 8
LARGEST_NUMBER = (1 << _NUMBER_BITS) - 1

# Away from the ends of the range: studio swing and ringing clip there.
_DARK, _BRIGHT = 40, 215
_MIDDLE = (_DARK + _BRIGHT) // 2
# Smaller cells vanish in the blocks of a strongly compressed video.
MIN_WIDTH, MIN_HEIGHT = 8 * COLUMNS, 12 * ROWS


class BarcodeError(ValueError):
    """The picture holds no barcode that can be trusted."""


def draw_picture(number: int, width: int, height: int, hue: int = 0) -> NDArray[np.uint8]:
    """Picture ``number``, uint8 (height, width, 3) RGB. ``hue`` tints the moving part."""
    if not 0 <= number <= LARGEST_NUMBER:
        raise ValueError(f"a barcode holds 0 to {LARGEST_NUMBER}, not {number}")
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        raise ValueError(f"{width}x{height} is too small for a barcode: {MIN_WIDTH}x{MIN_HEIGHT}")
    code = number << _CHECK_BITS | _checksum(number)
    bits = [code >> shift & 1 for shift in range(_NUMBER_BITS + _CHECK_BITS)]
    cells = np.where(np.array(bits).reshape(ROWS, COLUMNS), _BRIGHT, _DARK).astype(np.uint8)
    picture = np.empty((height, width, 3), np.uint8)
    rows, columns = _edges(height, width)
    for row in range(ROWS):
        for column in range(COLUMNS):
            picture[rows[row] : rows[row + 1], columns[column] : columns[column + 1]] = cells[
                row, column
            ]
    picture[rows[ROWS] :] = _scenery(number, width, height - rows[ROWS], hue)
    return picture


def read_barcode(rgb: NDArray[np.uint8]) -> int:
    """The number of the picture within its camera; ``rgb`` is uint8 (h, w, 3).

    Raises ``BarcodeError`` if the checksum does not fit.
    """
    height, width = rgb.shape[:2]
    grey = rgb.astype(np.float64).mean(axis=2)
    rows, columns = _edges(height, width)
    code = 0
    for at in range(ROWS * COLUMNS):
        row, column = divmod(at, COLUMNS)
        inner = grey[_inner(rows[row], rows[row + 1]), _inner(columns[column], columns[column + 1])]
        code |= int(inner.mean() > _MIDDLE) << at
    number, checksum = code >> _CHECK_BITS, code & ((1 << _CHECK_BITS) - 1)
    if checksum != _checksum(number):
        raise BarcodeError(f"the picture of {width}x{height} holds no readable barcode")
    return number


def _edges(height: int, width: int) -> tuple[list[int], list[int]]:
    rows = [round(height * 2 / 3 * row / ROWS) for row in range(ROWS + 1)]
    return rows, [round(width * column / COLUMNS) for column in range(COLUMNS + 1)]


def _inner(start: int, stop: int) -> slice:
    """The middle half of a cell, where its neighbours do not bleed in."""
    margin = (stop - start) // 4
    return slice(start + margin, max(stop - margin, start + margin + 1))


def _checksum(number: int) -> int:
    """CRC-8 (polynomial 0x07) over the two bytes; never the plain 0 of a black picture."""
    checksum = 0xFF
    for byte in number.to_bytes(2, "big"):
        checksum ^= byte
        for _ in range(8):
            checksum = (checksum << 1 ^ 0x07 if checksum & 0x80 else checksum << 1) & 0xFF
    return checksum


def _scenery(number: int, width: int, height: int, hue: int) -> NDArray[np.uint8]:
    """A shaded floor with a block that travels over it."""
    x, y = np.arange(width), np.arange(height)[:, None]
    floor = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        shade = 90 + 60 * np.sin(x / width * np.pi + channel + hue) + 20 * y / max(height, 1)
        floor[..., channel] = shade.astype(np.uint8)
    size = max(2, height // 2)
    left = number * max(1, width // 80) % max(1, width - size)
    colour = np.roll(np.array([220, 70, 40], np.uint8), hue)
    floor[height // 4 : height // 4 + size, left : left + size] = colour
    return floor
