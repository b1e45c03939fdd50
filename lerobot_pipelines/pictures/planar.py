"""Raw pictures whose colours lie behind their brightness: NV12, I420 and their relatives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Plane(NamedTuple):
    """One sample for each ``across`` by ``down`` pixels, of ``values`` bytes."""

    across: int
    down: int
    values: int


class PlaneExtent(NamedTuple):
    """Where a plane lies in the bytes of a picture; ``rows`` of ``row_bytes``, ``step`` apart."""

    start: int
    step: int
    row_bytes: int
    rows: int


_LUMA = Plane(1, 1, 1)
_QUARTER = Plane(2, 2, 1)
_HALF = Plane(2, 1, 1)

#: By the names that drivers give, lower case.
PLANAR: Mapping[str, tuple[Plane, ...]] = {
    **dict.fromkeys(("nv12", "nv21"), (_LUMA, Plane(2, 2, 2))),
    **dict.fromkeys(("nv16", "nv61"), (_LUMA, Plane(2, 1, 2))),
    **dict.fromkeys(("nv24", "nv42"), (_LUMA, Plane(1, 1, 2))),
    **dict.fromkeys(("yuv420p", "yv12"), (_LUMA, _QUARTER, _QUARTER)),
    "yuv422p": (_LUMA, _HALF, _HALF),
    "yuv444p": (_LUMA, _LUMA, _LUMA),
}


def planes_of(encoding: str, width: int, height: int, step: int) -> Iterator[PlaneExtent]:
    """The planes of a picture in their order; ``step`` is that of its brightness."""
    start = 0
    for across, down, values in PLANAR[encoding]:
        rows = -(-height // down)
        plane_step = -(-step // across) * values
        yield PlaneExtent(start, plane_step, -(-width // across) * values, rows)
        start += plane_step * rows


def least_bytes(encoding: str, width: int, height: int, step: int) -> int:
    """How many bytes a picture has; the padding of the last row may be missing."""
    *_, last = planes_of(encoding, width, height, step)
    return last.start + last.step * (last.rows - 1) + last.row_bytes


def true_size(encoding: str, size: tuple[int, int, int], data_bytes: int) -> tuple[int, int, int]:
    """Width, height and step, where drivers say them in other ways.

    Some count the rows of all planes as height, or the bytes of all planes as step; which is meant
    follows from how many bytes there are.
    """
    width, height, step = size
    samples = sum(plane.values / (plane.across * plane.down) for plane in PLANAR[encoding])
    if step > width and step == round(width * samples) and data_bytes == step * height:
        return width, height, width
    step = step or width
    rows = round(height / samples)
    if data_bytes < least_bytes(encoding, width, height, step) and data_bytes == step * height:
        return width, rows, step
    return width, height, step
