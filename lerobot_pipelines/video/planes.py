"""A decoded picture's samples as arrays, without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av


def plane(frame: av.VideoFrame, index: int) -> NDArray[np.uint8]:
    """One plane of a planar 8-bit frame, uint8 (height, width); plane 0 is the luma."""
    samples = frame.planes[index]
    rows = np.frombuffer(samples, dtype=np.uint8).reshape(-1, abs(samples.line_size))
    return rows[: samples.height, : samples.width]


def codes(frame: av.VideoFrame) -> NDArray[np.uint16]:
    """The single plane of a grey frame of more than 8 bits, uint16 (height, width)."""
    samples = frame.planes[0]
    rows = np.frombuffer(samples, dtype="<u2").reshape(-1, abs(samples.line_size) // 2)
    return rows[: samples.height, : samples.width]
